//! The rows of the table.

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// What happens.
    pub(super) fault: &'static str,
    /// What has to hold.
    pub(super) holds: &'static str,
    /// Name of the scenario that tries it; `None`: nobody has built one yet.
    pub(super) scenario: Option<&'static str>,
}

const fn row(fault: &'static str, holds: &'static str, scenario: &'static str) -> Row {
    Row { fault, holds, scenario: Some(scenario) }
}

const fn missing(fault: &'static str, holds: &'static str) -> Row {
    Row { fault, holds, scenario: None }
}

/// Every row, in the order in which they run and are told.
pub(super) const ROWS: &[Row] = &[
    row(
        "the node plugin is updated to another image, node by node, under writers",
        "no write waits more than 100 ms longer than without an update; new pods start, old ones end",
        "plugin-updated",
    ),
    row(
        "the node plugin is killed with SIGKILL, and its pod is deleted without grace, under a writer",
        "the writer never fails; new pods start, and what was mounted before is unmounted",
        "plugin-restart",
    ),
    missing(
        "the node plugin is killed before each single step of a publish and of an unpublish",
        "the next one ends what it began",
    ),
    row(
        "the driver is uninstalled and installed again under living pods",
        "pods go on reading and writing; nothing stays mounted but what they hold; who had to wait meanwhile does not wait on",
        "reinstalled",
    ),
    row(
        "the driver's folder below kubelet's is removed on the node (`rm -rf`)",
        "nothing on the server is touched; pods go on; new pods start again without anybody's help",
        "folder-removed",
    ),
    row("kubelet is killed and started again", "pods go on; new ones start, and old ones end", "kubelet-restart"),
    row(
        "the API server is killed while claims are made and deleted, and comes back",
        "nothing is lost, doubled, stuck or left",
        "killed-api",
    ),
    row(
        "a node loses its power and comes back",
        "its pods go on where they were; every record that was synced is there; nothing is cleaned up by hand",
        "node-power-cut",
    ),
    row(
        "a node loses its power for good",
        "a Deployment's pod is replaced on another node and writes; how long that takes is Kubernetes' to say. Berth fences nobody",
        "node-lost",
    ),
    row(
        "the NFS server loses its power under writers in 20 pods, and is back after 5 minutes",
        "no call hangs; volumes of another server are published all the while; every writer goes on, and no synced record is lost",
        "server-killed",
    ),
    row("the network to the NFS server is cut instead", "the same", "server-unreachable"),
    row(
        "the NFS server is gone for good",
        "its pods are deleted in less than 10 s each; the plugin has three threads more at most",
        "server-gone",
    ),
    row(
        "an export is removed and made again, and after that made anew with other files",
        "meanwhile a new pod is told the share; each time new pods start then; with the same files old ones go on",
        "export-removed",
    ),
    row(
        "an export is made anew with other files: every handle that a node has is stale (ESTALE)",
        "new pods start, whatever old ones hold; old ones are told",
        "export-anew",
    ),
    row(
        "a share is renamed away, and comes back",
        "nothing is published from what was moved away; when it is back, new pods start",
        "share-renamed",
    ),
    missing(
        "the server moves to another address, with living pods and without any",
        "new pods start at the new address without deleting old ones",
    ),
    row(
        "names resolve no longer",
        "what a node has mounted is published, also after a restart of kubelet; a pod with anything else is told the name",
        "name-gone",
    ),
    row(
        "the server's disk is full",
        "the writer is told; pods start and end all the same; when there is room again, writes succeed",
        "disk-full",
    ),
    row(
        "10,000 publishes and unpublishes",
        "threads, descriptors and memory are those of an idle plugin again",
        "soak",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::scenarios;

    #[test]
    fn every_row_is_tried_by_a_scenario_of_its_own() {
        let names: Vec<&str> = ROWS.iter().filter_map(|row| row.scenario).collect();
        for name in &names {
            assert!(scenarios::named(name).is_ok(), "{name}");
        }
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        let faults: BTreeSet<&str> = ROWS.iter().map(|row| row.fault).collect();
        assert_eq!(faults.len(), ROWS.len());
    }

    #[test]
    fn what_the_ladder_has_no_time_for_is_run_by_the_table() {
        for long in scenarios::LONG {
            assert!(ROWS.iter().any(|row| row.scenario == Some(long.name)), "nobody runs {}", long.name);
        }
    }
}
