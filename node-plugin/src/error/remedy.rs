//! Cause and remedy of a failed mount, for whoever reads the event.

use crate::mounter::Cause;

/// What is wrong and what to do about it, in the same words each time.
pub(crate) fn explain(cause: Cause) -> &'static str {
    match cause {
        Cause::AccessDenied => {
            "the server denies access; its export rules must list this node, and where they demand a port below 1024 all volumes of the server need the \
             mount option resvport"
        }
        Cause::NoSuchDirectory => {
            "the server has no such directory, or does not export it to this node; check the share's path, that the volume was not removed, and the \
             export rules (some servers answer so where those demand a port below 1024: mount option resvport)"
        }
        Cause::NotADirectory => {
            "it is no directory; check the share's path, and what has taken the directory's place on the server"
        }
        Cause::SymbolicLink => {
            "a symbolic link stands in its path, and those are not followed; put a directory there, or name the link's target as the share"
        }
        Cause::Version => {
            "the server does not serve the NFS version that was asked for; enable it there or set the mount option vers"
        }
        Cause::Unreachable => {
            "the server stopped answering; check that it runs, and the network between it and this node"
        }
        Cause::Stale => {
            "the server does not know its own file handles any more; it is mounted afresh at the next attempt, and if that does not help, check its export"
        }
        Cause::Option => "the kernel refuses a mount option; check mountOptions in the StorageClass and the volume",
        Cause::NoClient => "the node's kernel has no NFS client; load the module nfs",
        Cause::NotPrivileged => "the plugin may not mount; its container needs privileged: true",
        Cause::Other => "the mount failed; the kernel log of this node may say why",
    }
}
