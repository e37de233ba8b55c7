//! What a share offers to the driver, and what the driver keeps there.

mod aside;
mod expected;
mod folders;
mod form;
mod holds;
mod identity;
mod layout;
mod modes;
mod overlap;
mod pair;
mod records;
mod registry;
mod remembered;
mod reopened;
mod share;
mod site;
mod traffic;
mod trust;

pub(crate) use self::aside::{Aside, Note};
pub(crate) use self::expected::Expected;
pub use self::expected::KnownVolume;
pub(crate) use self::folders::Store;
pub(crate) use self::form::Making;
pub(crate) use self::holds::Hold;
pub(crate) use self::layout::{BEGUN_MODE, PARENT_MODE, PERMISSIONS, ROOT, TRASH, unique, unique_tree};
pub(crate) use self::modes::refuses_mode;
pub(crate) use self::overlap::{Outer, is_share};
pub(crate) use self::pair::call_both;
pub(crate) use self::records::{BegunRecord, Recorded};
pub(crate) use self::share::Share;
pub(crate) use self::site::Site;
