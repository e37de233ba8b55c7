//! Volumes as directories of a share.
//!
//! `docs/layout.md` says what lies on a share, in which order it is written, and how each state that a crash can leave
//! is read afterwards.
//!
//! What a share offers is in `store`: where it is, the driver's folders on it, the links in which the driver keeps records
//! and holds. `place` walks to a volume's directory. `make` and `end` are what a create and a delete do, in the steps of
//! `steps`; `reaper` removes what they have left in the trash.

mod end;
pub mod faults;
mod make;
mod place;
pub(crate) mod reaper;
mod step;
mod steps;
mod store;

pub(crate) use self::end::{Located, delete, find};
pub(crate) use self::make::{Doubt, Volume, Wanted, create};
pub use self::step::Step;
pub use self::store::KnownVolume;
pub(crate) use self::store::{Expected, Share, Site};
