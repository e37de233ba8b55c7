//! Volumes as directories of a share.
//!
//! `docs/layout.md` says what lies on a share, in which order it is written, and how each state that a crash can leave
//! is read afterwards.

mod ancestors;
mod create;
mod delete;
mod doubt;
pub mod faults;
mod folders;
mod layout;
mod observe;
mod pair;
mod place;
pub(crate) mod reaper;
mod records;
mod share;
mod steps;
mod trust;
mod undo;
mod wanted;

pub(crate) use create::create;
pub(crate) use delete::{Located, delete, find};
pub(crate) use doubt::Doubt;
pub(crate) use share::Share;
pub(crate) use wanted::Wanted;
