//! An asynchronous NFSv4.1 client for namespace work (RFC 8881).
//!
//! It makes, finds, renames and removes directories, symbolic links and small files; it does not mount anything and
//! has no data path. A [`Client`] holds one connection and one session, and many requests are in flight on them at a
//! time. It reconnects by itself.
//!
//! ```no_run
//! # async fn example() -> Result<(), nfs_client::Error> {
//! use nfs_client::{Client, Compound, Config, NfsStatus, SetAttributes};
//!
//! let client = Client::new(Config::new("nfs.example", 2049));
//! let share = client.open_dir(&["export", "volumes"]).await?;
//!
//! // One request, several operations; the results before a failure are not lost.
//! let request = Compound::new().put_handle(&share).create_dir("pvc-1", SetAttributes::mode(0o700)).get_handle();
//! match client.call(request).await {
//!     Ok(replies) => println!("{:?}", replies.handle(0)),
//!     Err(error) if error.is_status(NfsStatus::Exist) => println!("there is one already: {error}"),
//!     Err(error) => return Err(error),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What happens when something fails
//!
//! | event | reading | changing |
//! |---|---|---|
//! | connection lost, session alive | sent again | sent again with the same slot and sequence number: the server's reply cache returns what the first execution returned |
//! | DELAY, GRACE | sent again later as a new request | the same, if nothing of the compound had been changed before; else [`Error::Status`] |
//! | session lost (restart, expired lease) before the request was sent, or SEQUENCE refused it | sent in a new session | sent in a new session |
//! | session lost while the request was out | sent again | [`Error::OutcomeUnknown`] from [`Client::call`]; the path API looks and decides |
//! | time used up, request never sent | [`Error::Timeout`], [`Error::Unreachable`] | the same; it will not be sent later either |
//! | time used up, request out | [`Error::Timeout`] | [`Error::OutcomeUnknown`]; it is never sent again, but may be executed still |
//! | STALE, FHEXPIRED | [`Error::Status`]; [`Directory`] walks again from its path | the same |
//!
//! A future that is dropped leaves its request to a background task, which keeps the slot until the server has
//! answered; a request that was not sent by then is not sent at all.

mod attributes;
mod backoff;
mod client;
mod compound;
mod config;
mod connector;
mod error;
mod handle;
mod name;
mod path;
pub mod protocol;
mod random;
mod session;
mod status;
mod transport;

pub use attributes::{Attributes, FileType, ObjectState, Principal, SetAttributes};
pub use client::Client;
pub use compound::{Compound, Replies};
pub use config::{Config, DEFAULT_PORT, SourcePort};
pub use connector::{ConnectError, Connected, Connecting, Connector, Stream, Target, TcpConnector};
pub use error::Error;
pub use handle::{FileHandle, MAX_HANDLE};
pub use name::{MAX_NAME, check as check_name};
pub use onc_rpc::{AuthSys, Credential, DecodeError, MAX_GROUPS, TooManyGroups};
pub use path::{Directory, Found, MAX_FILE, Removed};
pub use protocol::{DirectoryPage, Entry, OpCode, OpenState, Reply};
pub use status::NfsStatus;
