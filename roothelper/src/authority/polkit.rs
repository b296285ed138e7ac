//! polkit itself, over the system bus.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use banger_proto::roothelper::Interaction;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::time::timeout;
use zbus::Connection;
use zbus::proxy::CacheProperties;
use zbus_polkit::policykit1::{AuthorityProxy, AuthorizationResult, CheckAuthorizationFlags};

use super::subject::subject;
use super::{Asked, Authority, Denied};
use crate::{Action, Caller};

/// Where the system bus listens. Not taken from the environment.
const BUS: &str = "/run/dbus/system_bus_socket";

/// How long an answer is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// polkit's own; it may have to be started first.
    pub machine: Duration,
    /// A person's.
    pub person: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { machine: Duration::from_secs(10), person: Duration::from_secs(110) }
    }
}

/// polkit on the system bus: connected when it is first asked, and again when the
/// connection broke.
#[derive(Debug)]
pub struct Polkit {
    bus: PathBuf,
    patience: Patience,
    connection: Mutex<Option<Connection>>,
    questions: AtomicU64,
}

impl Default for Polkit {
    fn default() -> Self {
        Self::at(Path::new(BUS), Patience::default())
    }
}

impl Authority for Polkit {
    fn ask<'a>(
        &'a self,
        caller: &'a Caller,
        action: Action,
        interaction: Interaction,
    ) -> Asked<'a> {
        // A person is asked once. polkit 122 now and then forgets a question in which only its
        // rules are to be asked, and answers nobody for 10 s then; it knows when it is asked anew.
        let (patience, times) = if interaction.is_allowed() {
            (self.patience.person, 1)
        } else {
            (self.patience.machine, 2)
        };
        Box::pin(async move {
            for _ in 0..times {
                let question = self.question(caller, action, interaction);
                if let Ok(answer) = timeout(patience, question).await {
                    return answer;
                }
            }
            Err(Denied::Silent(patience * times))
        })
    }
}

impl Polkit {
    /// polkit on the bus with this socket.
    #[must_use]
    pub fn at(bus: &Path, patience: Patience) -> Self {
        Self {
            bus: bus.to_owned(),
            patience,
            connection: Mutex::new(None),
            questions: AtomicU64::new(0),
        }
    }

    async fn question(
        &self,
        caller: &Caller,
        action: Action,
        interaction: Interaction,
    ) -> Result<(), Denied> {
        let (connection, is_new) = self.connected().await?;
        let answer = self.put(&connection, caller, action, interaction).await;
        match answer {
            // The bus may have been started anew since the last question.
            Err(Denied::Unreachable(error)) if !is_new && broke(&error) => {
                self.forget(&connection).await;
                let (connection, _) = self.connected().await?;
                self.put(&connection, caller, action, interaction).await
            }
            answer => answer,
        }
    }

    /// The connection, and whether it is a new one.
    async fn connected(&self) -> Result<(Connection, bool), Denied> {
        let mut held = self.connection.lock().await;
        if let Some(connection) = &*held {
            return Ok((connection.clone(), false));
        }
        let address = format!("unix:path={}", self.bus.display());
        let connection = zbus::connection::Builder::address(&*address)
            .build()
            .await
            .map_err(Denied::Unreachable)?;
        Ok((held.insert(connection).clone(), true))
    }

    /// Lets go of a connection that broke, unless another question has done so already.
    async fn forget(&self, broken: &Connection) {
        let mut held = self.connection.lock().await;
        if held.as_ref().is_some_and(|held| held.unique_name() == broken.unique_name()) {
            *held = None;
        }
    }

    async fn put(
        &self,
        connection: &Connection,
        caller: &Caller,
        action: Action,
        interaction: Interaction,
    ) -> Result<(), Denied> {
        let denied = |error| denied(action, error);
        let polkit = AuthorityProxy::builder(connection)
            .cache_properties(CacheProperties::No)
            .build()
            .await
            .map_err(denied)?;
        let version = polkit.backend_version().await.map_err(|error| denied(error.into()))?;
        let (subject, may_ask) = subject(caller, &version)
            .map_err(|error| Denied::Failed(zbus::Error::Failure(error.to_string())))?;
        let mut flags = CheckAuthorizationFlags::empty();
        let mut question = Question { polkit: None, name: String::new() };
        if may_ask && interaction.is_allowed() {
            flags = CheckAuthorizationFlags::ALLOW_USER_INTERACTION;
            question.name = self.questions.fetch_add(1, Ordering::Relaxed).to_string();
            question.polkit = Some(polkit.clone());
        }
        let details = std::collections::HashMap::new();
        let answer = polkit
            .check_authorization(&subject, action.id(), &details, flags, &question.name)
            .await;
        question.polkit = None;
        judge(action, &answer.map_err(denied)?)
    }
}

/// A question that a person may be looking at: taken back when nobody waits for it any more.
struct Question {
    polkit: Option<AuthorityProxy<'static>>,
    name: String,
}

impl Drop for Question {
    fn drop(&mut self) {
        let (Some(polkit), Ok(runtime)) = (self.polkit.take(), Handle::try_current()) else {
            return;
        };
        let name = std::mem::take(&mut self.name);
        // What becomes of it is nobody's concern: the answer is a no already.
        runtime.spawn(async move { drop(polkit.cancel_check_authorization(&name).await) });
    }
}

/// Only the one answer that says so is a yes.
fn judge(action: Action, answer: &AuthorizationResult) -> Result<(), Denied> {
    match (answer.is_authorized, answer.is_challenge) {
        (true, false) => Ok(()),
        (true, true) => Err(Denied::Garbled(None)),
        (false, _) if answer.details.contains_key("polkit.dismissed") => {
            Err(Denied::Dismissed(action))
        }
        (false, true) => Err(Denied::NobodyToAsk(action)),
        (false, false) => Err(Denied::NotAuthorised(action)),
    }
}

/// Whether the connection itself is of no use any more.
fn broke(error: &zbus::Error) -> bool {
    match error {
        zbus::Error::InputOutput(_) => true,
        zbus::Error::FDO(error) => matches!(**error, zbus::fdo::Error::Disconnected(_)),
        _ => false,
    }
}

/// Every error is a no; they differ in what helps.
fn denied(action: Action, error: zbus::Error) -> Denied {
    use zbus::Error;
    use zbus::fdo::Error as Fdo;
    match &error {
        // The one error of polkit's that has no name of its own.
        Error::MethodError(_, Some(text), _) if text.contains("is not registered") => {
            Denied::Unregistered(action, error)
        }
        Error::MethodError(..) => Denied::Failed(error),
        Error::FDO(fdo) => match &**fdo {
            Fdo::ZBus(inner) => match inner {
                Error::InputOutput(_) | Error::Handshake(_) => Denied::Unreachable(error),
                _ => Denied::Garbled(Some(error)),
            },
            Fdo::InvalidSignature(_) | Fdo::InconsistentMessage(_) => Denied::Garbled(Some(error)),
            Fdo::ServiceUnknown(_)
            | Fdo::NameHasNoOwner(_)
            | Fdo::NoReply(_)
            | Fdo::NoServer(_)
            | Fdo::Disconnected(_)
            | Fdo::SpawnExecFailed(_)
            | Fdo::SpawnForkFailed(_)
            | Fdo::SpawnChildExited(_)
            | Fdo::SpawnChildSignaled(_)
            | Fdo::SpawnFailed(_)
            | Fdo::SpawnServiceNotFound(_) => Denied::Unreachable(error),
            _ => Denied::Failed(error),
        },
        Error::InputOutput(_)
        | Error::Handshake(_)
        | Error::Connection(..)
        | Error::Address(_)
        | Error::NameTaken => Denied::Unreachable(error),
        _ => Denied::Garbled(Some(error)),
    }
}
