//! Names that are taken, not legal, or of nothing.

use crate::place::Place;

#[test]
fn a_name_that_is_taken_not_legal_or_of_nothing_is_said() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["vm", "create", "--name", "web"]);
    let before = place.traces();
    let refused = |line: &[&str], words: &[&str]| {
        let said = place.fails(line);
        for word in words {
            assert!(said.contains(word), "banger {line:?}: {said}");
        }
        assert_eq!(place.traces(), before, "banger {line:?}: {said}");
    };
    for verb in ["create", "run"] {
        refused(&["vm", verb, "--name", "web"], &["there is a VM web already", "try: "]);
        refused(&["vm", verb, "--image", "nope"], &["there is no image nope", "tiny"]);
        refused(&["vm", verb, "--image", "../tiny"], &["../tiny"]);
        let long = "x".repeat(64);
        for name in ["", "Web", "-web", "web-", "we b", "../web", "web.example", "w\n", "ü", &long]
        {
            refused(&["vm", verb, &format!("--name={name}")], &["--name"]);
        }
    }
    for verb in ["start", "stop", "rm", "inspect", "logs"] {
        refused(&["vm", verb, "nope"], &["there is no VM nope", "try: "]);
        refused(&["vm", verb, "../web"], &["../web"]);
    }
    let tar = place.owner.home().join("image.tar");
    let tar = tar.to_str().unwrap();
    refused(&["image", "import", "tiny", tar], &["there is an image tiny already", "try: "]);
    for name in ["", "../tiny", "Tiny/x", ".hidden", "a\nb"] {
        refused(&["image", "import", name, tar], &["NAME"]);
    }
    refused(&["image", "import", "new", "/nonexistent.tar"], &["/nonexistent.tar"]);
    refused(&["image", "import", "new", "/"], &["error: "]);
    refused(&["image", "rm", "nope"], &["there is no image nope", "try: "]);
    refused(&["image", "inspect", "nope"], &["there is no image nope", "try: "]);
}

/// The image goes or stays; a VM that names it never starts without it.
#[test]
fn an_image_does_not_go_while_a_vm_is_made_or_started_from_it() {
    let Some(place) = Place::with_image() else { return };
    place.owner.ok(["vm", "create", "--name", "web"]);
    place.mode("slow");
    let mut start = place.owner.banger(["vm", "start", "web"]);
    let mut start = start.stdout(std::process::Stdio::null()).spawn().unwrap();
    let mut asked = 0;
    loop {
        let over = start.try_wait().unwrap();
        let said = place.fails(&["image", "rm", "tiny"]);
        assert!(said.contains("used by web") && said.contains("try: "), "{said}");
        asked += 1;
        if let Some(status) = over {
            assert!(status.success());
            break;
        }
    }
    assert!(asked > 2, "{asked}");
    place.owner.ok(["vm", "rm", "--force", "web"]);
    for round in 0..6 {
        let mut create = place.owner.banger(["vm", "create", "--name", "web", "--image", "tiny"]);
        let silent = std::process::Stdio::null;
        let mut create = create.stdout(silent()).stderr(silent()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(10 * round));
        let removed = place.owner.run(["image", "rm", "tiny"]).status.success();
        let created = create.wait().unwrap().success();
        assert_ne!(created, removed, "either the VM is there or the image is gone");
        if created {
            place.owner.ok(["vm", "rm", "web"]);
        } else {
            place.import_tiny();
        }
    }
    assert!(place.leftovers().is_empty());
}
