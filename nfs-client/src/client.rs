//! The client: one server, one session, any number of callers.

use std::{fmt, sync::Arc, time::Duration};

use onc_rpc::{AuthSys, Credential};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{
    Compound, Config, Connector, Error, NfsStatus, OpCode, Replies, TcpConnector,
    backoff::Backoff,
    protocol::{ChannelLimits, Operation},
    session::{Answer, Engine, OVERHEAD, Outcome, Request, Session},
};

/// A client of one NFS server. Clones share connection and session; the last one that is dropped closes the connection
/// and leaves the session to its lease ([`Client::shutdown`] ends it at once).
#[derive(Clone)]
pub struct Client {
    pub(crate) engine: Arc<Engine>,
    /// For whom its compounds speak, if not for the user of the configuration.
    speaks_for: Option<Arc<Credential>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("server", &self.engine.server).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that connects by TCP when it is first used.
    pub fn new(config: Config) -> Self {
        Self::with_connector(config, TcpConnector)
    }

    /// A client that gets its streams from `connector` when it is first used.
    pub fn with_connector(config: Config, connector: impl Connector) -> Self {
        Self { engine: Arc::new(Engine::new(config, Box::new(connector))), speaks_for: None }
    }

    /// The same client, on the same connection and in the same session, whose compounds speak for another user, without
    /// supplementary groups. What the server makes of that user is its affair: with `all_squash` everybody is nobody.
    ///
    /// What makes, keeps and ends the session speaks for the user of the [`Config`] as before. A session without state
    /// protection (`SP4_NONE`, RFC 8881 §2.10.8.3) may be used by anybody.
    #[must_use]
    pub fn on_behalf_of(&self, uid: u32, gid: u32) -> Self {
        let user = AuthSys::user(uid, gid);
        Self { engine: self.engine.clone(), speaks_for: Some(Arc::new(user.into())) }
    }

    /// The server as `host:port`.
    pub fn server(&self) -> &str {
        &self.engine.server
    }

    /// Compounds sent so far, repetitions, session set-up and lease renewal included.
    pub fn round_trips(&self) -> u64 {
        self.engine.compounds_sent()
    }

    /// How many of [`round_trips`](Self::round_trips) were sent only to keep an idle session alive.
    pub fn lease_renewals(&self) -> u64 {
        self.engine.renewals()
    }

    /// The TCP port the last connection came from, if it is known. Some servers answer callers from 1024 and above as if
    /// an export that demands a reserved port were not there: Ganesha says NOENT, knfsd PERM.
    pub fn source_port(&self) -> Option<u16> {
        self.engine.source_port()
    }

    /// Connects and makes a session, or confirms the ones there are by one round trip.
    pub async fn probe(&self) -> Result<(), Error> {
        self.call(Compound::new()).await.map(drop)
    }

    /// Ends the session: requests in flight get a few seconds, then the server is told to forget the client. Every
    /// later call fails with [`Error::ShutDown`]. Does not fail: what the server does not hear ends with the lease.
    pub async fn shutdown(&self) {
        self.engine.shut_down().await;
    }

    /// The most operations a compound of the current session may have. Connects if need be.
    pub async fn max_operations(&self) -> Result<usize, Error> {
        Ok(self.session(self.deadline()).await?.max_operations())
    }

    /// Everything that the current session limits, in the server's words. Connects if need be.
    pub async fn limits(&self) -> Result<ChannelLimits, Error> {
        Ok(self.session(self.deadline()).await?.limits)
    }

    /// Sends a compound and returns the results of all its operations.
    ///
    /// If an operation fails, [`Error::Status`] names it and still carries the results of those before it, which have
    /// taken effect. Repeats what the table in the [crate documentation](crate) says, no more. A compound that changes
    /// something ends in [`Error::OutcomeUnknown`] if it may have been executed and nobody can tell.
    pub async fn call(&self, compound: Compound) -> Result<Replies, Error> {
        self.call_until(compound, self.deadline()).await
    }

    /// [`call`](Self::call) with another limit than the whole budget.
    pub(crate) async fn call_until(&self, compound: Compound, deadline: Instant) -> Result<Replies, Error> {
        let request = Arc::new(Request::on_behalf_of(self.speaks_for.clone(), compound.into_operations()?));
        let started = Instant::now();
        let mut backoff = Backoff::asked_to_wait();
        // A lost session is replaced at once, as most are lost by a restart. One that is lost before it has served is
        // the server's habit.
        let mut between_sessions = None;
        // The server's last word, if it was a request to wait: a better report than that the time is up.
        let mut asked_to_wait = None;
        loop {
            let session = self.session(deadline).await?;
            self.check_limits(&session, &request)?;
            let detail = match self.engine.exchange(&session, &request, deadline).await {
                Outcome::Answered(answer) => {
                    let pause = backoff.next();
                    // As much time as the pause is left for the attempt itself.
                    if may_repeat(&request, &answer) && Instant::now() + 2 * pause < deadline {
                        asked_to_wait = self.replies(answer).err();
                        sleep(pause).await;
                        continue;
                    }
                    return self.replies(answer);
                }
                Outcome::Unknown(detail) if request.mutates => return Err(self.unknown(detail, false)),
                Outcome::NotExecuted(reason) | Outcome::Unknown(reason) => reason,
                Outcome::TimeUp { sent: true, last } if request.mutates => {
                    let detail = last.map_or_else(|| "no reply in time".into(), |error| error.to_string());
                    return Err(self.unknown(detail, true));
                }
                Outcome::Failed(error) => return Err(error),
                Outcome::TimeUp { sent, last } => {
                    let waited_for = if sent { "no reply" } else { "no free slot, or no connection" };
                    let last = asked_to_wait.or(last);
                    return Err(last.unwrap_or_else(|| self.timeout(started, waited_for)));
                }
            };
            let pause = between_sessions.as_mut().map_or(Duration::ZERO, Backoff::next);
            if Instant::now() + pause >= deadline {
                return Err(self.timeout(started, &detail));
            }
            sleep(pause).await;
            between_sessions.get_or_insert_with(Backoff::reconnecting);
            tracing::debug!(server = %self.engine.server, detail, "sending an NFS request again in a new session");
        }
    }

    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.engine.config.retry_budget
    }

    /// The live session or a new one. Once the server has been heard of, an outage is waited out until the deadline.
    pub(crate) async fn session(&self, deadline: Instant) -> Result<Arc<Session>, Error> {
        let started = Instant::now();
        let mut backoff = Backoff::reconnecting();
        loop {
            match timeout_at(deadline, self.engine.session()).await {
                Ok(Ok(session)) => return Ok(session),
                Err(_elapsed) => return Err(self.timeout(started, "no connection or no session yet")),
                Ok(Err(error)) => {
                    let pause = backoff.next();
                    let hopeless = !error.is_transient() || !self.engine.has_heard_of_server();
                    if hopeless || Instant::now() + pause >= deadline {
                        return Err(error);
                    }
                    sleep(pause).await;
                }
            }
        }
    }

    fn check_limits(&self, session: &Session, request: &Request) -> Result<(), Error> {
        let too_large = |unit, given, limit| Error::TooLarge { server: self.engine.server.clone(), unit, given, limit };
        if request.operations.len() > session.max_operations() {
            return Err(too_large("operations", request.operations.len(), session.max_operations()));
        }
        let limit = usize::try_from(session.limits.max_request).unwrap_or(usize::MAX).saturating_sub(OVERHEAD);
        if request.encoded.len() > limit {
            return Err(too_large("bytes", request.encoded.len(), limit));
        }
        Ok(())
    }

    fn replies(&self, answer: Answer) -> Result<Replies, Error> {
        let completed = Replies(answer.replies);
        match answer.failure {
            None => Ok(completed),
            Some((op, status)) => {
                Err(Error::Status { server: self.engine.server.clone(), op, index: completed.len(), status, completed })
            }
        }
    }

    pub(crate) fn unknown(&self, detail: String, may_still_happen: bool) -> Error {
        Error::OutcomeUnknown { server: self.engine.server.clone(), detail, may_still_happen }
    }

    pub(crate) fn timeout(&self, started: Instant, detail: &str) -> Error {
        Error::Timeout { server: self.engine.server.clone(), after: started.elapsed(), detail: detail.to_owned() }
    }

    /// The error for a reply that lacks what its operations must return.
    pub(crate) fn incomplete(&self, op: OpCode) -> Error {
        Error::Protocol { server: self.engine.server.clone(), detail: format!("a reply lacks the result of {op}") }
    }
}

/// Whether the server asked to wait before the compound had changed anything.
fn may_repeat(request: &Request, answer: &Answer) -> bool {
    let asked = answer.failure.is_some_and(|(_, status): (OpCode, NfsStatus)| status.asks_to_wait());
    asked && !request.operations[..answer.replies.len()].iter().any(Operation::is_mutation)
}
