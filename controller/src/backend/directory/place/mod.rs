//! Where a volume's directory is, and what lies around it.

mod ancestors;
mod walk;

pub(crate) use self::ancestors::check;
pub(crate) use self::walk::{Leaf, Walk, is_begun, walk};
