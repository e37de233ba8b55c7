//! Owners and groups, which NFSv4 carries as text (RFC 8881 §5.9).

use std::fmt;

/// An owner or group as the server wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A number, written `1234` or `1234@domain`.
    Id(u32),
    /// A name, usually `name@domain`: the server maps ids (idmapd).
    Name(String),
}

impl Principal {
    /// Reads the text of an `owner` or `owner_group` attribute.
    pub fn parse(text: &str) -> Self {
        let user = text.split_once('@').map_or(text, |(user, _domain)| user);
        let digits = !user.is_empty() && user.bytes().all(|byte| byte.is_ascii_digit());
        match user.parse() {
            Ok(id) if digits => Self::Id(id),
            _ => Self::Name(text.to_owned()),
        }
    }

    /// The number, if it is one.
    pub fn id(&self) -> Option<u32> {
        match self {
            Self::Id(id) => Some(*id),
            Self::Name(_) => None,
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_owners_with_and_without_a_domain_are_ids() {
        assert_eq!(Principal::parse("1234"), Principal::Id(1234));
        assert_eq!(Principal::parse("1234@example.org"), Principal::Id(1234));
        assert_eq!(Principal::parse("0"), Principal::Id(0));
    }

    #[test]
    fn names_and_what_only_looks_like_a_number_stay_text() {
        for text in ["nobody@localdomain", "root", "+5", "4294967296", "@example.org", ""] {
            assert_eq!(Principal::parse(text), Principal::Name(text.to_owned()), "{text}");
        }
    }
}
