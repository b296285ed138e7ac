//! A polkit that answers what it should not, and what the helper sends to a new one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use banger_proto::Code;
use banger_proto::roothelper::Interaction;
use zbus::{OwnedVariant, fdo};

use crate::stage::{MEMBER, Process, Stage};

type Subject = (String, HashMap<String, OwnedVariant>);
type Result = (bool, bool, HashMap<String, String>);

/// What the helper asked.
#[derive(Debug, Clone, PartialEq)]
struct Question {
    keys: Vec<String>,
    uid: String,
    action: String,
    flags: u32,
    cancellation: String,
}

#[derive(Debug, Clone)]
enum Manner {
    Says(bool, bool, &'static [&'static str]),
    Fails,
    /// Never answers, so that the question may be taken back.
    Ponders,
}

#[derive(Clone)]
struct Fake {
    version: &'static str,
    manner: Manner,
    questions: Arc<Mutex<Vec<Question>>>,
    cancelled: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    fn new(version: &'static str, manner: Manner) -> Self {
        Self { version, manner, questions: Arc::default(), cancelled: Arc::default() }
    }
}

#[zbus::interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Fake {
    async fn check_authorization(
        &self,
        subject: Subject,
        action: String,
        _details: HashMap<String, String>,
        flags: u32,
        cancellation: String,
    ) -> fdo::Result<(Result,)> {
        let mut keys: Vec<_> = subject.1.keys().cloned().collect();
        keys.sort();
        let uid = subject.1.get("uid").map(|uid| format!("{uid:?}")).unwrap_or_default();
        self.questions.lock().unwrap().push(Question { keys, uid, action, flags, cancellation });
        match &self.manner {
            Manner::Says(authorised, challenge, details) => {
                let details = details.iter().map(|key| ((*key).to_owned(), "1".to_owned()));
                Ok(((*authorised, *challenge, details.collect()),))
            }
            Manner::Fails => Err(fdo::Error::AccessDenied("no".to_owned())),
            Manner::Ponders => std::future::pending().await,
        }
    }

    async fn cancel_check_authorization(&self, cancellation: String) {
        self.cancelled.lock().unwrap().push(cancellation);
    }

    #[zbus(property)]
    async fn backend_version(&self) -> String {
        self.version.to_owned()
    }
}

/// One whose answer has another form.
struct Garbled;

#[zbus::interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Garbled {
    async fn check_authorization(
        &self,
        _subject: Subject,
        _action: String,
        _details: HashMap<String, String>,
        _flags: u32,
        _cancellation: String,
    ) -> String {
        "yes".to_owned()
    }

    #[zbus(property)]
    async fn backend_version(&self) -> String {
        "122".to_owned()
    }
}

/// One whose version is none.
struct Versionless;

#[zbus::interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Versionless {
    #[zbus(property)]
    async fn backend_version(&self) -> u32 {
        122
    }
}

/// Puts it on the bus of the stage.
async fn play<I: zbus::object_server::Interface>(stage: &Stage, interface: I) -> zbus::Connection {
    let connection = stage.connect().await;
    connection
        .object_server()
        .at("/org/freedesktop/PolicyKit1/Authority", interface)
        .await
        .unwrap();
    connection.request_name("org.freedesktop.PolicyKit1").await.unwrap();
    connection
}

#[tokio::test]
async fn only_the_one_answer_that_says_so_is_a_yes() {
    let Some(stage) = Stage::new() else { return };
    let _bus = stage.bus();
    let process = Process::of(MEMBER);
    let caller = process.caller(MEMBER);
    let asking = stage.gate();
    for (manner, code, word) in [
        (Manner::Says(false, false, &[]), Code::PermissionDenied, "not-authorised"),
        (Manner::Says(false, true, &[]), Code::FailedPrecondition, "nobody-to-ask"),
        (Manner::Says(true, true, &[]), Code::PermissionDenied, "polkit-garbled"),
        (Manner::Says(false, false, &["polkit.dismissed"]), Code::PermissionDenied, "dismissed"),
        // CVE-2021-3560: an error is no answer, and so no yes.
        (Manner::Fails, Code::PermissionDenied, "polkit-failed"),
    ] {
        let told = format!("{manner:?}");
        let fake = play(&stage, Fake::new("122", manner)).await;
        let (refusal, said) = asking.refused(&caller, Interaction::Never).await;
        assert_eq!((refusal.code, &*said), (code, word), "{told}");
        fake.close().await.unwrap();
    }
    let fake = play(&stage, Garbled).await;
    let (refusal, word) = asking.refused(&caller, Interaction::Never).await;
    assert_eq!((refusal.code, &*word), (Code::PermissionDenied, "polkit-garbled"));
    fake.close().await.unwrap();
    let fake = play(&stage, Versionless).await;
    let (refusal, word) = asking.refused(&caller, Interaction::Never).await;
    assert_eq!((refusal.code, &*word), (Code::PermissionDenied, "polkit-garbled"));
    fake.close().await.unwrap();
    // And that one is.
    let fake = play(&stage, Fake::new("122", Manner::Says(true, false, &[]))).await;
    asking.allowed(&caller).await;
    fake.close().await.unwrap();
}

#[tokio::test]
async fn a_new_polkit_is_told_the_process_itself_and_an_old_one_troubles_nobody() {
    let Some(stage) = Stage::new() else { return };
    let _bus = stage.bus();
    let process = Process::of(MEMBER);
    let caller = process.caller(MEMBER);
    let asking = stage.gate();
    for (version, keys, flags) in [
        ("124", &["pidfd", "uid"][..], 1),
        ("126", &["pidfd", "uid"], 1),
        ("123", &["pid", "start-time", "uid"], 0),
        ("0.120", &["pid", "start-time", "uid"], 0),
        ("unknown", &["pid", "start-time", "uid"], 0),
    ] {
        let fake = Fake::new(version, Manner::Says(true, false, &[]));
        let questions = Arc::clone(&fake.questions);
        let connection = play(&stage, fake).await;
        for interaction in [Interaction::Never, Interaction::Allowed] {
            asking.ask(&caller, interaction).await.unwrap();
            let asked = questions.lock().unwrap().pop().unwrap();
            assert_eq!(asked.keys, keys, "{version}");
            // polkit reads it as a signed number, and looks for itself where it is another.
            assert!(asked.uid.contains("I32(1930001)"), "{}", asked.uid);
            assert_eq!(asked.action, "dev.banger.roothelper.discard-overlays");
            assert_eq!(asked.flags, if interaction.is_allowed() { flags } else { 0 }, "{version}");
        }
        connection.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_question_to_a_person_is_taken_back_when_the_client_leaves() {
    let Some(stage) = Stage::new() else { return };
    let _bus = stage.bus();
    let process = Process::of(MEMBER);
    let caller = process.caller(MEMBER);
    let asking = stage.gate();
    let fake = Fake::new("126", Manner::Ponders);
    let (questions, cancelled) = (Arc::clone(&fake.questions), Arc::clone(&fake.cancelled));
    let _connection = play(&stage, fake).await;
    let call = banger_roothelper::call::DiscardOverlay(banger_proto::roothelper::OfVm {
        vm: banger_proto::VmId::random(),
        interaction: Interaction::Allowed,
    });
    let begun = Instant::now();
    let patience = Duration::from_secs(20);
    tokio::select! {
        answer = asking.gate().permit(&caller, call) => panic!("answered: {answer:?}"),
        () = async {
            while questions.lock().unwrap().is_empty() {
                assert!(begun.elapsed() < patience, "never asked");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        } => {}
    }
    let name = questions.lock().unwrap()[0].cancellation.clone();
    assert!(!name.is_empty());
    while cancelled.lock().unwrap().is_empty() {
        assert!(begun.elapsed() < patience, "never taken back");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(*cancelled.lock().unwrap(), [name]);
    let entries = asking.entries();
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0].reason, "caller-left");
}
