//! What a delete does: find what there is of a volume, and end it.

mod delete;
mod locate;

pub(crate) use self::delete::delete;
pub(crate) use self::locate::{Located, find};
