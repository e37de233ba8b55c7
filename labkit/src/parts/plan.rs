//! In which order parts are built, which of them together, and what beside what.

use super::{LabError, Part};

/// Parts that one command makes: programs of one Go module, or a single part of another kind. Never empty.
pub(super) type Batch = Vec<Part>;

/// What has to be built. Its first two lanes may run beside each other: compiling takes the processors, and most of the
/// rest waits for Debian's archive.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Go programs, which are made from no other part.
    pub(super) programs: Vec<Batch>,
    /// What is made without them; needs first.
    pub(super) others: Vec<Batch>,
    /// What is made from both; needs first.
    pub(super) last: Vec<Batch>,
}

impl Plan {
    /// Adds what has to be built for `part`, as far as it is `missing`.
    pub(super) fn add(
        &mut self,
        part: Part,
        missing: &impl Fn(Part) -> Result<bool, LabError>,
    ) -> Result<(), LabError> {
        if self.batches().flatten().any(|planned| *planned == part) || !missing(part)? {
            return Ok(());
        }
        for &need in part.needs {
            self.add(need, missing)?;
        }
        if part.is_program() {
            // The linker of one works beside the compiler of another when a single call of go builds them.
            match self.programs.iter_mut().find(|batch| batch.iter().all(|other| other.is_built_with(part))) {
                Some(batch) => batch.push(part),
                None => self.programs.push(vec![part]),
            }
        } else if part.needs_programs() {
            self.last.push(vec![part]);
        } else {
            self.others.push(vec![part]);
        }
        Ok(())
    }

    /// Everything, each part after those that it needs.
    pub(super) fn batches(&self) -> impl Iterator<Item = &Batch> {
        self.programs.iter().chain(&self.others).chain(&self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(parts: &[Part]) -> Plan {
        let mut plan = Plan::default();
        for part in parts {
            plan.add(*part, &|part| Ok(part != Part::KUBECTL)).unwrap();
        }
        plan
    }

    #[test]
    fn programs_of_one_module_are_built_together() {
        let plan = plan(&[Part::NODE_PROGRAMS, Part::HELM, Part::KUBE_APISERVER, Part::KUBECTL, Part::E2E_TEST]);
        let batch = |part: Part| plan.programs.iter().find(|batch| batch.contains(&part)).unwrap().as_slice();
        assert_eq!(batch(Part::KUBE_APISERVER), [Part::KUBELET, Part::KUBE_PROXY, Part::KUBE_APISERVER]);
        assert_eq!(batch(Part::CONTAINERD), [Part::CONTAINERD, Part::CONTAINERD_SHIM, Part::CTR]);
        // Another verb of go, and another module.
        assert_eq!(batch(Part::E2E_TEST), [Part::E2E_TEST]);
        assert_eq!(batch(Part::HELM), [Part::HELM]);
    }

    #[test]
    fn what_needs_no_program_does_not_wait_for_one() {
        let plan = plan(&[Part::NODE_PROGRAMS, Part::BOOT, Part::SUITE_IMAGE]);
        assert_eq!(plan.others, [[Part::DEBIAN], [Part::BOOT]]);
        assert_eq!(plan.last, [[Part::NODE_PROGRAMS], [Part::SUITE_IMAGE]]);
    }
}
