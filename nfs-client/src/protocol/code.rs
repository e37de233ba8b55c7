//! Numbers and names of operations (`nfs_opnum4`).

use std::fmt;

macro_rules! operations {
    ($($variant:ident = $number:literal, $name:literal;)*) => {
        /// An operation of NFSv4.1 (RFC 8881 §18).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum OpCode {
            $(#[doc = concat!("`", $name, "`.")] $variant,)*
        }

        impl OpCode {
            /// The number on the wire.
            pub fn to_u32(self) -> u32 {
                match self { $(Self::$variant => $number,)* }
            }

            /// The operation with this number, if this client knows it.
            pub fn from_u32(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// The name of the RFC, such as `LOOKUP`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

operations! {
    Close = 4, "CLOSE";
    Create = 6, "CREATE";
    GetAttr = 9, "GETATTR";
    GetFh = 10, "GETFH";
    Lookup = 15, "LOOKUP";
    Open = 18, "OPEN";
    PutFh = 22, "PUTFH";
    PutRootFh = 24, "PUTROOTFH";
    Read = 25, "READ";
    ReadDir = 26, "READDIR";
    ReadLink = 27, "READLINK";
    Remove = 28, "REMOVE";
    Rename = 29, "RENAME";
    RestoreFh = 31, "RESTOREFH";
    SaveFh = 32, "SAVEFH";
    SetAttr = 34, "SETATTR";
    Verify = 37, "VERIFY";
    Write = 38, "WRITE";
    BindConnToSession = 41, "BIND_CONN_TO_SESSION";
    ExchangeId = 42, "EXCHANGE_ID";
    CreateSession = 43, "CREATE_SESSION";
    DestroySession = 44, "DESTROY_SESSION";
    Sequence = 53, "SEQUENCE";
    DestroyClientId = 57, "DESTROY_CLIENTID";
    ReclaimComplete = 58, "RECLAIM_COMPLETE";
    Illegal = 10044, "ILLEGAL";
}

impl fmt::Display for OpCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
