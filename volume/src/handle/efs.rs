//! Handles of aws-efs-csi-driver: `[efs:|s3files:]FILE-SYSTEM[:PATH[:ACCESS-POINT]]`.

/// What serves the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EfsService {
    /// Amazon EFS: `efs:`, or no prefix, which is how versions before 3 wrote it.
    Efs,
    /// Amazon S3 Files.
    S3Files,
}

/// A volume of aws-efs-csi-driver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EfsHandle {
    /// What serves it.
    pub service: EfsService,
    /// `fs-` and 8 to 40 hexadecimal digits.
    pub file_system: String,
    /// A path on the file system, as it was written.
    pub path: Option<String>,
    /// `fsap-` and 8 to 40 hexadecimal digits.
    pub access_point: Option<String>,
}

impl EfsHandle {
    /// Reads a handle; none if it is not of the form.
    pub(super) fn parse(handle: &str) -> Option<Self> {
        let (service, rest) = match handle.split_once(':') {
            Some(("efs", rest)) => (EfsService::Efs, rest),
            Some(("s3files", rest)) => (EfsService::S3Files, rest),
            _ => (EfsService::Efs, handle),
        };
        let mut fields = rest.split(':');
        let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let file_system = fields.next().filter(|id| is_id(id, "fs-"))?.to_owned();
        let (path, access_point) = (given(fields.next()), given(fields.next()));
        let is_whole = fields.next().is_none() && access_point.as_deref().is_none_or(|id| is_id(id, "fsap-"));
        is_whole.then_some(Self { service, file_system, path, access_point })
    }
}

fn is_id(text: &str, prefix: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix(prefix).is_some_and(|rest| (8..=40).contains(&rest.len()) && rest.bytes().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(handle: &str) -> Option<(EfsService, String, Option<String>, Option<String>)> {
        EfsHandle::parse(handle).map(|handle| (handle.service, handle.file_system, handle.path, handle.access_point))
    }

    #[test]
    fn every_form_that_the_driver_has_written_is_read() {
        use EfsService::{Efs, S3Files};
        let (fs, path, ap) = ("fs-0123abcd", Some("/data".to_owned()), Some("fsap-0123456789abcdef0".to_owned()));
        for (handle, service, path, access_point) in [
            ("fs-0123abcd", Efs, None, None),
            ("fs-0123abcd:/data", Efs, path.clone(), None),
            ("fs-0123abcd::fsap-0123456789abcdef0", Efs, None, ap.clone()),
            ("fs-0123abcd:/data:fsap-0123456789abcdef0", Efs, path, ap.clone()),
            ("efs:fs-0123abcd::fsap-0123456789abcdef0", Efs, None, ap.clone()),
            ("s3files:fs-0123abcd::fsap-0123456789abcdef0", S3Files, None, ap),
        ] {
            assert_eq!(read(handle), Some((service, fs.to_owned(), path, access_point)), "{handle}");
        }
    }

    #[test]
    fn nothing_else_is() {
        let long = format!("fs-{}", "0".repeat(41));
        for handle in [
            "",
            "efs:",
            "fs-",
            "fs-0123abc",
            "fs-0123ABCD",
            &long,
            "fs-0123abcd:::x",
            "fs-0123abcd::fsap-1",
            "s3:fs-0123abcd",
        ] {
            assert_eq!(read(handle), None, "{handle}");
        }
    }
}
