//! Hooks that cannot be started say so.
#![expect(
    clippy::unwrap_used,
    reason = "these are tests, though not all of them functions with #[test]"
)]

mod common;

use common::{Image, Place, every_way, job, options, run};
use domain::FailureKind;
use ports::Runner as _;

/// A program whose dynamic linker does not exist; none where programs have another one.
fn without_linker(place: &Place) -> Option<Image> {
    let mut program = std::fs::read("/bin/true").unwrap();
    let linker = b"/ld-linux";
    let at = program.windows(linker.len()).position(|part| part == linker)?;
    program[at + 1] = b'n';
    let path = place.path().join("unlinked");
    std::fs::write(&path, program).unwrap();
    Some(Image::of(&path))
}

// proves PIP-5
#[tokio::test]
async fn a_program_without_its_dynamic_linker_is_told_as_one_that_did_not_start() {
    let place = Place::new();
    let Some(image) = without_linker(&place) else {
        test_needs::left_out("a /bin/true that is linked by ld-linux");
        return;
    };
    for (way, runner) in every_way(&options(&place)) {
        if way == "direct" {
            continue;
        }
        match run(&runner, &job(&image)).await.failure {
            Some(FailureKind::ImageUnusable(why)) => {
                assert!(
                    why.contains("could not be started") && why.contains("No such file"),
                    "{way}: {why}"
                );
            }
            other => panic!("{way}: {other:?}"),
        }
    }
}

// proves PIP-5
#[tokio::test]
async fn an_interpreter_that_the_sandbox_does_not_show_is_told_at_the_release_and_at_the_run() {
    let place = Place::new();
    // As a virtual environment has it: a link to the interpreter, elsewhere than the system's programs.
    let python = place.path().join("python3");
    std::os::unix::fs::symlink("/bin/sh", &python).unwrap();
    let script = place.path().join("hook");
    std::fs::write(&script, format!("#!{}\nexit 0\n", python.display())).unwrap();
    let image = Image::of(&script);
    for (way, runner) in every_way(&options(&place)) {
        let job = job(&image);
        let found = runner.examine(&job.image, &job.digest).await.unwrap();
        let failure = run(&runner, &job).await.failure;
        if runner.is_sandboxed() {
            assert!(found.unwrap().contains("not visible in the sandbox"));
            match failure {
                Some(FailureKind::ImageUnusable(why)) => assert!(why.contains("not visible"), "{why}"),
                other => panic!("{other:?}"),
            }
        } else {
            assert_eq!((found, failure), (None, None), "{way}");
        }
    }
    assert_eq!(place.attempts_left(), 0);
}

// proves PIP-3
#[tokio::test]
async fn a_hook_that_prints_what_bubblewrap_prints_did_start() {
    let place = Place::new();
    let image = place.script("echo started; echo 'bwrap: execvp x: No such file or directory'; exit 1");
    for (way, runner) in every_way(&options(&place)) {
        let failure = run(&runner, &job(&image)).await.failure;
        assert_eq!(failure, Some(FailureKind::HookExit(1)), "{way}");
    }
}
