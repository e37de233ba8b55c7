//! NFSv4.1 on the wire: operations, attributes and sessions as they are written and read (RFC 8881).
//!
//! [`Client`](crate::Client) and [`Compound`](crate::Compound) need nobody to know any of this. It is public for whoever
//! takes the other side of the protocol, such as a server that is only there for tests.
//!
//! | what | RFC 8881 |
//! |---|---|
//! | [`Operation`] with its arguments, [`OpCode`] | §18 |
//! | [`StateId`], [`Claim`] | §8.2, §18.16 |
//! | [`Attribute`], [`AttributeMask`], [`Attributes::encode`](crate::Attributes::encode) | §5, §3.3.7 |
//! | [`Sequence`], [`ChannelLimits`], [`StatusFlags`] | §2.10, §18.36, §18.46 |

mod arguments;
mod code;
mod results;
pub(crate) mod session;

pub use crate::attributes::{Attribute, AttributeMask};
pub use arguments::{Claim, Operation, StateId};
pub use code::OpCode;
pub(crate) use results::decode;
pub use results::{DirectoryPage, Entry, OpenState, Reply};
pub use session::{ChannelLimits, Sequence, SessionId, StatusFlags};
