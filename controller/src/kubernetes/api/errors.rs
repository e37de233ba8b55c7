//! Reading the errors of the Kubernetes client.

use csi_runtime::status::message;
use kube::core::Status;
use kube::runtime::watcher;

/// Whether the API server answered with this HTTP status.
pub(crate) fn is_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// One line for a person. The client's own Display repeats its source, and prints statuses as Rust values.
pub(crate) fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => explain_status(status),
        kube::Error::Service(source) => message(&**source),
        other => other.to_string(),
    }
}

/// The same for what a watch says.
pub(crate) fn explain_watch(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error) => format!("the list failed: {}", explain(error)),
        watcher::Error::WatchStartFailed(error) => format!("the watch did not begin: {}", explain(error)),
        watcher::Error::WatchFailed(error) => format!("the watch broke: {}", explain(error)),
        watcher::Error::WatchError(status) => format!("the watch was ended: {}", explain_status(status)),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}

fn explain_status(status: &Status) -> String {
    if status.message.is_empty() { format!("{} ({})", status.reason, status.code) } else { status.message.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_told_by_its_message_alone() {
        let refused = kube::Error::Api(Status::failure("pv is forbidden", "Forbidden").with_code(403).boxed());
        assert_eq!(explain(&refused), "pv is forbidden");
        assert!(is_code(&refused, 403) && !is_code(&refused, 404));
        let silent = Status::failure("", "Gone").with_code(410).boxed();
        assert_eq!(explain_watch(&watcher::Error::WatchError(silent.clone())), "the watch was ended: Gone (410)");
        assert_eq!(explain(&kube::Error::Api(silent)), "Gone (410)");
    }
}
