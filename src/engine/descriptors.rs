//! Room for as many descriptors as the limits need.
//!
//! A process may have many more descriptors than its soft limit says, up to the hard one
//! (getrlimit(2)); the soft limit is often 1,024. It is raised once, at start; if even the hard one
//! is too low the start is refused, because a server that meets the limit at three in the morning
//! refuses people it has promised room.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Makes sure that the process may have `needed` descriptors.
///
/// # Errors
/// A sentence with both numbers, when the hard limit is lower or the soft one cannot be raised.
pub fn reserve_descriptors(needed: usize) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let Some(wanted) = raised(limit.current, limit.maximum, needed as u64)? else { return Ok(()) };
    let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_err(|error| {
        format!("the limits need {needed} descriptors and the soft limit cannot be raised: {error}")
    })?;
    log::debug!("descriptors soft_limit={wanted} was={:?}", limit.current);
    Ok(())
}

/// The soft limit to set, if another is needed. `None` as a limit is infinity.
fn raised(soft: Option<u64>, hard: Option<u64>, needed: u64) -> Result<Option<u64>, String> {
    if soft.is_none_or(|soft| soft >= needed) {
        return Ok(None);
    }
    match hard {
        Some(hard) if hard < needed => Err(format!(
            "the limits need {needed} descriptors and the hard limit is {hard}; lower \
             --max-connections or raise it (ulimit -Hn, LimitNOFILE)"
        )),
        _ => Ok(Some(needed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_soft_limit_that_suffices_is_left_alone() {
        assert_eq!(raised(Some(1024), Some(4096), 1024), Ok(None));
        assert_eq!(raised(None, None, 1024), Ok(None));
    }

    #[test]
    fn a_soft_limit_that_is_too_low_is_raised_to_what_is_needed() {
        assert_eq!(raised(Some(256), Some(4096), 1024), Ok(Some(1024)));
        assert_eq!(raised(Some(256), None, 1024), Ok(Some(1024)));
    }

    #[test]
    fn a_hard_limit_that_is_too_low_is_named_with_what_is_needed() {
        let sentence = raised(Some(256), Some(512), 1024).unwrap_err();
        assert!(sentence.contains("1024") && sentence.contains("512"), "{sentence}");
    }
}
