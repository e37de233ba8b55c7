//! A controller that dies between any two steps, and the next one that finishes what it began.

use std::time::Duration;

use controller::backend::directory::Step;

use crate::crash_parameters::parameters;
use crate::world::{Controller, Object, World};

/// Lets a controller begin something and die before a step; it never answers.
pub(crate) async fn die(controller: &Controller, step: Step, work: impl Future<Output = ()> + Send + 'static) {
    let reached = controller.faults.stop_before(step);
    let work = tokio::spawn(work);
    tokio::time::timeout(Duration::from_secs(30), reached)
        .await
        .unwrap_or_else(|_| panic!("{step:?} never came"))
        .unwrap();
    assert!(!work.is_finished(), "{step:?}: a dead process does not answer");
    work.abort();
}

async fn create_and_die(world: &World, name: &str, custom: bool, step: Step) {
    let controller = world.controller();
    let (doomed, owned) = (controller.clone(), name.to_owned());
    die(&controller, step, async move {
        let _never = doomed.create(&owned, &parameters(&owned, custom)).await;
    })
    .await;
}

/// The steps of a create, but for that of the owner. The text of an entry is a step of its own where that is a file.
fn steps_of_a_create(world: &World, custom: bool) -> Vec<Step> {
    let hold: &[Step] = if custom { &[Step::Hold, Step::HoldText, Step::Parents] } else { &[] };
    let steps = hold.iter().chain(&[Step::Place, Step::Record, Step::RecordText, Step::Mode, Step::Created]);
    steps.copied().filter(|step| is_step(world, *step)).collect()
}

/// Whether a share like this one knows the step.
pub(crate) fn is_step(world: &World, step: Step) -> bool {
    !world.has_links() || ![Step::HoldText, Step::RecordText, Step::NoteText].contains(&step)
}

/// After a crash before a step: whoever has begun a record or a hold may be about to write its text. Of a hold nobody can tell then whose it
/// is, not even its own volume.
async fn wait_for_hold(world: &World, step: Step, name: &str, parameters: &[(&str, &str)], place: &str) {
    let entry = match step {
        Step::HoldText => format!(".berth/places/{}", volume::PlaceKey::new(&place.parse().unwrap())),
        Step::RecordText => format!(".berth/records/{name}"),
        _ => return,
    };
    let error = world.controller().create(name, parameters).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::Aborted, "{}", error.message());
    world.age(&entry);
}

pub(crate) async fn a_create_is_finished_after_a_crash_before_any_step(world: &World) {
    world.controller().create("first", &[]).await.unwrap();
    for custom in [false, true] {
        for step in steps_of_a_create(world, custom).into_iter().chain([Step::Owner]) {
            let name = format!("pvc-{step:?}").to_lowercase();
            let before = (world.folder("records").len(), world.folder("places").len());
            let place = if custom { format!("all/{name}/{name}") } else { name.clone() };
            create_and_die(world, &name, custom, step).await;
            wait_for_hold(world, step, &name, &parameters(&name, custom), &place).await;

            let controller = world.controller();
            let made = controller.create(&name, &parameters(&name, custom)).await;
            let made = made.unwrap_or_else(|error| panic!("{step:?}: {}", error.message()));
            assert_eq!(made.context["subDir"], place);
            assert_eq!(world.object(&place), Some(Object::Directory { mode: 0o2770, owner: (1000, 2000) }), "{step:?}");
            let after = (world.folder("records").len(), world.folder("places").len());
            assert_eq!(after, (before.0 + 1, before.1 + usize::from(custom)), "{step:?}: exactly one volume");
            controller.delete(&made.id).await.unwrap();
            assert!(!world.exists(&place), "{step:?}");
            assert_eq!(
                (world.folder("records").len(), world.folder("places").len()),
                before,
                "{step:?}: nothing is left"
            );
        }
    }
    reap(world).await;
}

/// The mark of a directory that was begun closes it to a controller that is not root.
pub(crate) async fn a_create_is_finished_where_root_is_nobody(world: &World) {
    world.controller().create("first", &[]).await.unwrap();
    for custom in [false, true] {
        for step in steps_of_a_create(world, custom) {
            let place = if custom { format!("{step:?}/data").to_lowercase() } else { "pvc-1".to_owned() };
            let controller = world.controller();
            let (doomed, path) = (controller.clone(), place.clone());
            die(&controller, step, async move {
                let _never = doomed.create("pvc-1", &[("subDir", &path)]).await;
            })
            .await;
            wait_for_hold(world, step, "pvc-1", &[("subDir", &place)], &place).await;

            let next = world.controller();
            let made = next.create("pvc-1", &[("subDir", &place)]).await;
            let made = made.unwrap_or_else(|error| panic!("{step:?}: {}", error.message()));
            let found = world.object(&place);
            assert!(matches!(found, Some(Object::Directory { mode: 0o777, .. })), "{step:?}: {found:?}");
            assert_eq!(world.folder("records"), ["first", "pvc-1"], "{step:?}");
            next.delete(&made.id).await.unwrap();
            world.until_reaped().await;
        }
    }
}

/// What somebody else has put into such a directory cannot be seen, and is kept.
pub(crate) async fn a_closed_directory_that_holds_something_is_kept_where_root_is_nobody(world: &World) {
    let (controller, doomed) = (world.controller(), world.controller());
    controller.create("first", &[]).await.unwrap();
    let dying = doomed.clone();
    die(&doomed, Step::Record, async move {
        let _never = dying.create("pvc-1", &[]).await;
    })
    .await;
    world.make_file("pvc-1/precious");
    let tree = world.tree();
    let error = controller.create("pvc-1", &[]).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::FailedPrecondition, "{}", error.message());
    assert_eq!(world.tree(), tree);
}

pub(crate) async fn a_delete_is_finished_after_a_crash_before_any_step(world: &World) {
    for (custom, retain) in [(false, false), (true, false), (false, true), (true, true)] {
        let moved = if retain { vec![Step::Retain] } else { vec![Step::Trash, Step::Forget] };
        let given_up = if custom { vec![Step::GiveUp] } else { Vec::new() };
        for step in moved.into_iter().chain(given_up).chain([Step::Deleted]) {
            let name = format!("pvc-{step:?}-{}{}", u8::from(custom), u8::from(retain)).to_lowercase();
            let controller = world.controller();
            let mut parameters = parameters(&name, custom);
            if retain {
                parameters.push(("onDelete", "retain"));
            }
            let made = controller.create(&name, &parameters).await.unwrap();
            let place = made.context["subDir"].clone();
            world.make_file(&format!("{place}/precious"));
            let (doomed, id) = (controller.clone(), made.id.clone());
            die(&controller, step, async move {
                let _never = doomed.delete(&id).await;
            })
            .await;

            let next = world.controller();
            next.delete(&made.id).await.unwrap_or_else(|error| panic!("{step:?}: {}", error.message()));
            assert_eq!(world.exists(&format!("{place}/precious")), retain, "{step:?}");
            assert!(world.folder("records").is_empty(), "{step:?}");
            assert!(world.folder("places").is_empty(), "{step:?}");
            let kept = world.folder("retained").iter().filter(|kept| kept.starts_with(&name)).count();
            assert_eq!(kept, usize::from(retain), "{step:?}");
        }
    }
    reap(world).await;
}

/// What dead controllers have moved to the trash is removed by one that lives.
async fn reap(world: &World) {
    let last = world.controller();
    last.create("last", &[]).await.unwrap();
    world.until_reaped().await;
    drop(last);
}

pub(crate) async fn a_place_half_taken_is_not_given_to_another(world: &World) {
    world.controller().create("first", &[]).await.unwrap();
    let steps = [Step::HoldText, Step::Parents, Step::Place, Step::Record, Step::RecordText, Step::Owner, Step::Mode];
    for step in steps.into_iter().filter(|step| is_step(world, *step)) {
        let name = format!("pvc-{step:?}").to_lowercase();
        create_and_die(world, &name, true, step).await;
        let tree = world.tree();
        let place = format!("all/{name}/{name}");
        for path in [place.clone(), format!("{place}/inner")] {
            let error = world.controller().create("other", &[("subDir", &path)]).await.unwrap_err();
            let code = error.code();
            let allowed = [tonic::Code::Aborted, tonic::Code::FailedPrecondition];
            assert!(allowed.contains(&code), "{step:?} {path}: {}", error.message());
            assert_eq!(world.tree(), tree, "{step:?} {path}");
        }
    }
}

pub(crate) async fn what_a_crash_left_is_never_taken_for_a_foreign_directory(world: &World) {
    // A directory that bears the mark and is not empty is not ours, nor is one whose permissions say otherwise.
    world.controller().create("first", &[]).await.unwrap();
    create_and_die(world, "pvc-1", false, Step::Record).await;
    world.make_file("pvc-1/precious");
    let tree = world.tree();
    let error = world.controller().create("pvc-1", &[]).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::FailedPrecondition, "{}", error.message());
    assert_eq!(world.tree(), tree);

    // In a custom place the place is given up.
    create_and_die(world, "pvc-2", true, Step::Record).await;
    world.make_file("all/pvc-2/pvc-2/precious");
    let error = world.controller().create("pvc-2", &parameters("pvc-2", true)).await.unwrap_err();
    assert_eq!(error.code(), tonic::Code::FailedPrecondition, "{}", error.message());
    assert!(world.exists("all/pvc-2/pvc-2/precious") && world.folder("places").is_empty());
}
