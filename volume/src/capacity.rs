//! The size of a volume.

use thiserror::Error;

/// What a request says about size, in bytes; zero stands for "not said" (CSI `CapacityRange`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// The volume must be at least this large.
    pub required: i64,
    /// The volume must not be larger than this.
    pub limit: i64,
}

impl Range {
    /// The size that the volume gets, see [`resolve`].
    pub fn resolve(self) -> Result<u64, CapacityError> {
        resolve(self.required, self.limit)
    }

    /// Whether a volume of this size answers the request: what decides, for a name that exists already, between "here it
    /// is" and "exists with another size". A volume without a size (0) answers only a request without one.
    pub fn admits(self, size_bytes: u64) -> bool {
        let Ok(asked) = self.resolve() else { return false };
        let Ok(limit) = u64::try_from(self.limit) else { return false };
        if asked == 0 || size_bytes == 0 {
            return asked == size_bytes;
        }
        u64::try_from(self.required).is_ok_and(|required| size_bytes >= required) && (limit == 0 || size_bytes <= limit)
    }
}

/// Why no size fits a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CapacityError {
    /// A size below zero.
    #[error("the {which} size is {bytes} bytes; a size cannot be negative")]
    Negative {
        /// `required` or `limit`.
        which: &'static str,
        /// Its value.
        bytes: i64,
    },
    /// No size is both large and small enough.
    #[error("the required size of {required} bytes is above the limit of {limit} bytes")]
    Contradiction {
        /// The least.
        required: i64,
        /// The most.
        limit: i64,
    },
}

/// The size of a volume in bytes for a request: what is required; else the limit, because a volume that may grow past it
/// would break the request; else 0, a volume without a size.
pub fn resolve(required: i64, limit: i64) -> Result<u64, CapacityError> {
    let bytes = |which, bytes| u64::try_from(bytes).map_err(|_| CapacityError::Negative { which, bytes });
    match (bytes("required", required)?, bytes("limit", limit)?) {
        (0, most) => Ok(most),
        (least, most) if most != 0 && least > most => Err(CapacityError::Contradiction { required, limit }),
        (least, _) => Ok(least),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_required_size_wins() {
        assert_eq!(resolve(0, 0), Ok(0));
        assert_eq!(resolve(10, 0), Ok(10));
        assert_eq!(resolve(10, 10), Ok(10));
        assert_eq!(resolve(10, 20), Ok(10));
        assert_eq!(resolve(0, 20), Ok(20));
        assert_eq!(resolve(i64::MAX, 0), Ok(i64::MAX.unsigned_abs()));
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        assert_eq!(resolve(-1, 0), Err(CapacityError::Negative { which: "required", bytes: -1 }));
        assert_eq!(resolve(0, i64::MIN), Err(CapacityError::Negative { which: "limit", bytes: i64::MIN }));
        assert_eq!(resolve(20, 10), Err(CapacityError::Contradiction { required: 20, limit: 10 }));
        let text = resolve(20, 10).expect_err("contradiction").to_string();
        assert_eq!(text, "the required size of 20 bytes is above the limit of 10 bytes");
    }

    #[test]
    fn a_volume_that_exists_is_held_against_the_request() {
        let range = |required, limit| Range { required, limit };
        assert!(range(10, 0).admits(10));
        assert!(range(10, 20).admits(15));
        assert!(!range(10, 20).admits(21));
        assert!(!range(10, 0).admits(9));
        assert!(range(0, 20).admits(20));
        assert!(range(0, 0).admits(0));
        assert!(!range(0, 0).admits(5));
        assert!(!range(5, 0).admits(0));
        assert!(!range(-1, 0).admits(0));
    }
}
