//! csi-sanity's own account of its run.

use std::collections::BTreeMap;

use labkit::base::LabError;

use super::ginkgo::{self, Spec};
use crate::report::Outcome;

/// What csi-sanity ran and what it left out, and why.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// Counts; a spec that its capability gate left out counts as not run.
    pub(super) outcome: Outcome,
    /// Reason → specs that it kept from running.
    pub(super) left_out: BTreeMap<String, Vec<String>>,
}

/// Specs that the driver's capabilities admit, with csi-sanity v5.6.0. A gate looks the same whether a capability was never
/// announced or was lost, so this number is what tells that one was lost.
const ADMITTED: usize = 33;

/// Reads ginkgo's report.
pub(super) fn account(report: &str) -> Result<Account, LabError> {
    let mut account = Account::default();
    let mut ran = 0;
    for Spec { name, state, said, .. } in ginkgo::specs(report)? {
        match state.as_str() {
            "passed" => {
                ran += 1;
                account.outcome.passed += 1;
            }
            "skipped" | "pending" => {
                let reason = if state == "pending" && said.is_empty() { DISABLED.to_owned() } else { said };
                if is_gate(&reason) {
                    account.outcome.not_run += 1;
                } else {
                    account.outcome.add(Outcome::failure(format!("csi-sanity left out ({reason}): {name}")));
                }
                account.left_out.entry(reason).or_default().push(name);
            }
            state => {
                ran += 1;
                account.outcome.add(Outcome::failure(format!("csi-sanity ({state}): {name}")));
            }
        }
    }
    if ran < ADMITTED {
        account.outcome.add(Outcome::failure(format!(
            "csi-sanity ran {ran} specs, but the driver's capabilities admit {ADMITTED}: is one no longer announced?"
        )));
    }
    Ok(account)
}

/// What csi-sanity itself has switched off for everybody.
const DISABLED: &str = "disabled in csi-sanity itself";

/// Gates that do not read "… not supported".
const GATES: &[&str] = &[
    DISABLED,
    "No MaxVolumesPerNode",
    "node does not report accessible topology",
    "testnodevolumeattachlimit not enabled",
];

/// Whether a spec was left out because the driver does not announce a capability. A spec that is left out because of what
/// the driver answers (no capacity, say) would have had to run.
fn is_gate(reason: &str) -> bool {
    GATES.contains(&reason) || (reason.ends_with("not supported") && !reason.starts_with("Required bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report of `passed` specs that passed, and `others`.
    fn report(passed: usize, others: &[(&str, &str, &str)]) -> String {
        ginkgo::report(&[vec![("works", "passed", ""); passed].as_slice(), others].concat())
    }

    #[test]
    fn specs_are_counted_by_state_with_reasons() {
        let others =
            [("breaks", "failed", "boom"), ("gated", "skipped", "EXPAND_VOLUME not supported"), ("off", "pending", "")];
        let account = account(&report(ADMITTED - 1, &others)).unwrap();
        let Outcome { passed, failed, not_run, .. } = account.outcome;
        assert_eq!((passed, failed, not_run), (ADMITTED - 1, 1, 2));
        assert_eq!(account.outcome.failures, ["csi-sanity (failed): breaks"]);
        assert_eq!(account.left_out["EXPAND_VOLUME not supported"], ["gated"]);
    }

    #[test]
    fn a_spec_that_is_left_out_for_another_reason_than_a_capability_is_a_failure() {
        for reason in ["", "capacity of the volume is unknown", "Required bytes not supported"] {
            let report = report(ADMITTED, &[("odd", "skipped", reason)]);
            assert_eq!(account(&report).unwrap().outcome.failed, 1, "{reason}");
        }
    }

    #[test]
    fn a_spec_that_a_lost_capability_leaves_out_is_missed() {
        assert_eq!(account(&report(ADMITTED, &[])).unwrap().outcome.failed, 0);
        let fewer = report(ADMITTED - 1, &[("gated", "skipped", "CLONE_VOLUME not supported")]);
        let outcome = account(&fewer).unwrap().outcome;
        assert_eq!(outcome.failed, 1);
        assert!(outcome.failures[0].contains("ran 32 specs"), "{:?}", outcome.failures);
    }

    #[test]
    fn an_empty_run_is_a_failure() {
        assert_eq!(account("[]").unwrap().outcome.failed, 1);
    }
}
