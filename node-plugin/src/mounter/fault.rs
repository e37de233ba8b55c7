//! What a failed call of the mount API means.

use std::fmt;

use rustix::io::Errno;

/// A system call of the mount API that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The call, with the option that it was about if there is one.
    pub call: String,
    /// Its error number.
    pub errno: Errno,
    /// What the kernel says besides, from the file system context.
    pub text: String,
}

/// What an administrator would call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The server refuses this node or this path.
    AccessDenied,
    /// The server has no such directory.
    NoSuchDirectory,
    /// There is something, but no directory.
    NotADirectory,
    /// A symbolic link stands in the path.
    SymbolicLink,
    /// The server does not speak the NFS version that was asked for.
    Version,
    /// The address does not answer.
    Unreachable,
    /// The server is back with other file handles.
    Stale,
    /// An option or its value was refused.
    Option,
    /// The kernel has no NFS client.
    NoClient,
    /// The plugin lacks `CAP_SYS_ADMIN`.
    NotPrivileged,
    /// Anything else.
    Other,
}

impl Fault {
    /// A failed call about which the kernel said no more.
    pub fn new(call: impl Into<String>, errno: Errno) -> Self {
        Self { call: call.into(), errno, text: String::new() }
    }

    /// The same for a call of the standard library.
    pub(super) fn of(call: &str, error: &std::io::Error) -> Self {
        Self::new(call, Errno::from_io_error(error).unwrap_or(Errno::IO))
    }

    /// What it means. The same number means different things of different calls: `EPERM` from `fsopen` is about this process, from the creation of
    /// the superblock it is the server's answer.
    pub fn cause(&self) -> Cause {
        let of_server = self.call.starts_with("fsconfig(create)") || self.call.starts_with("mount(2)");
        match self.errno {
            Errno::ACCESS => Cause::AccessDenied,
            Errno::PERM if of_server => Cause::AccessDenied,
            Errno::PERM => Cause::NotPrivileged,
            Errno::NOENT => Cause::NoSuchDirectory,
            Errno::NOTDIR => Cause::NotADirectory,
            Errno::LOOP => Cause::SymbolicLink,
            Errno::PROTONOSUPPORT | Errno::OPNOTSUPP => Cause::Version,
            Errno::CONNREFUSED
            | Errno::CONNRESET
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
            | Errno::HOSTDOWN
            | Errno::PIPE
            | Errno::TIMEDOUT => Cause::Unreachable,
            Errno::STALE => Cause::Stale,
            Errno::INVAL => Cause::Option,
            Errno::NODEV => Cause::NoClient,
            _ => Cause::Other,
        }
    }

    /// Whether the kernel, or a filter before it, does not offer the call at all.
    pub(super) fn is_unsupported(&self) -> bool {
        matches!(self.errno, Errno::NOSYS | Errno::PERM)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, std::io::Error::from(self.errno))?;
        if self.text.is_empty() { Ok(()) } else { write!(f, " ({})", self.text) }
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_by_the_call_that_gave_it() {
        assert_eq!(Fault::new("fsopen(nfs4)", Errno::PERM).cause(), Cause::NotPrivileged);
        assert_eq!(Fault::new("fsconfig(create)", Errno::PERM).cause(), Cause::AccessDenied);
        assert_eq!(Fault::new("fsopen(nfs4)", Errno::NODEV).cause(), Cause::NoClient);
        assert_eq!(Fault::new("openat2(a/b)", Errno::LOOP).cause(), Cause::SymbolicLink);
        assert_eq!(Fault::new("fsconfig(create)", Errno::IO).cause(), Cause::Other);
    }

    #[test]
    fn the_kernels_own_words_are_passed_on() {
        let fault = Fault { text: "nfs4: Unknown parameter 'x'".to_owned(), ..Fault::new("fsconfig(x)", Errno::INVAL) };
        assert_eq!(fault.to_string(), "fsconfig(x): Invalid argument (os error 22) (nfs4: Unknown parameter 'x')");
    }
}
