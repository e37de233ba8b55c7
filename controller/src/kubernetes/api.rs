//! Reading the errors of the Kubernetes client.

/// Whether the API server answered with this HTTP status.
pub(crate) fn is_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

/// One line for a person. The client's own Display repeats its source, and prints statuses as Rust values.
pub(crate) fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.message.is_empty() => format!("{} ({})", status.reason, status.code),
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn a_status_is_told_by_its_message_alone() {
        let refused = kube::Error::Api(Status::failure("pv is forbidden", "Forbidden").with_code(403).boxed());
        assert_eq!(explain(&refused), "pv is forbidden");
        assert!(is_code(&refused, 403) && !is_code(&refused, 404));
        let silent = kube::Error::Api(Status::failure("", "Gone").with_code(410).boxed());
        assert_eq!(explain(&silent), "Gone (410)");
    }
}
