//! How one behaviour is tried.

use labkit::base::{LabError, chain};

use super::{Context, Size, dump};
use crate::{
    cluster::Lab,
    report::{Line, Outcome, Timeline},
    target::Driver,
};

/// A behaviour that is tried on a cluster.
#[derive(Debug)]
pub struct Scenario {
    /// Name on the command line and in reports.
    pub name: &'static str,
    /// What holds when it passes.
    pub about: &'static str,
    /// Whether it needs the lab's machines, not only an API server.
    pub needs_lab: bool,
    pub(super) run: fn(&Context<'_>) -> Result<(), LabError>,
}

impl Scenario {
    /// Tries the short form of it. Whatever goes wrong, from its namespace to the dump of its failure, is its own failure and
    /// nothing else's.
    pub(super) fn attempt(&self, driver: &Driver, lab: Option<&Lab>, timeline: &Timeline) -> Outcome {
        match self.measure(driver, lab, timeline, Size::Short).0 {
            Ok(()) => Outcome::pass(),
            Err(error) => Outcome::failure(format!("scenario {}: {}", self.name, chain(&error))),
        }
    }

    /// Tries it in a namespace of its own; answers with what came of it and what was measured until then.
    pub fn measure(
        &self,
        driver: &Driver,
        lab: Option<&Lab>,
        timeline: &Timeline,
        size: Size,
    ) -> (Result<(), LabError>, Vec<Line>) {
        timeline.note(&format!("scenario {}: {}", self.name, self.about));
        let (done, figures) = match Context::open(self.name, driver, lab, timeline, size) {
            Ok(context) => (self.run_in(&context), context.into_figures()),
            Err(error) => (Err(error), Vec::new()),
        };
        match &done {
            Ok(()) => timeline.step(&format!("{}: passed", self.name)),
            Err(error) => timeline.step(&format!("{}: FAILED: {}", self.name, chain(error))),
        }
        (done, figures)
    }

    fn run_in(&self, context: &Context<'_>) -> Result<(), LabError> {
        (self.run)(context).and_then(|()| context.close()).inspect_err(|_| {
            let told = match dump::write(context) {
                Ok(place) => format!("state of the cluster at that moment: {}", place.display()),
                Err(error) => format!("the state of the cluster could not be kept: {}", chain(&error)),
            };
            context.timeline.note(&told);
            context.abandon();
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{path::Path, sync::Mutex};

    use super::*;
    use crate::cluster::{api, nfs::Backend};

    /// A driver on a cluster whose API server is not there.
    pub(crate) fn driver(dir: &Path) -> Driver {
        let text = |text: &str| text.to_owned();
        Driver {
            cluster: api::tests::nowhere(dir),
            namespace: text("system"),
            name: text("driver"),
            class: text("class"),
            backend: Backend { server: text("server"), share: text("/share") },
            image: text("driver"),
            shell_image: text("shell"),
            release: None,
        }
    }

    #[test]
    fn a_dump_that_cannot_be_written_hides_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (driver, timeline) = (driver(dir.path()), Timeline::default());
        // No directory can have this name.
        let context = Context {
            driver: &driver,
            lab: None,
            namespace: "no\0where".to_owned(),
            timeline: &timeline,
            size: Size::Short,
            figures: Mutex::default(),
        };
        assert!(dump::write(&context).is_err());
        let broken = |_: &Context<'_>| Err(LabError::Unmet("broken".to_owned()));
        let scenario = Scenario { name: "broken", about: "", needs_lab: false, run: broken };
        assert_eq!(scenario.run_in(&context).unwrap_err().to_string(), "broken");
    }
}
