//! What is known of how this node's typed clients and the servers they call fit together: pure, asked
//! by [`Pending`](super::pending::Pending).

use std::collections::BTreeMap;

use compact_str::CompactString;

use crate::schema::{Difference, Part, ServiceSchema, Verdict, compare};
use crate::service::Descriptor;
use crate::transport::PeerId;
use crate::wire::{Failure, Reason};

/// Versions that are remembered. There are as many as releases live side by side.
const MAX_VERSIONS: usize = 64;

/// Versions that may be asked about at a time: more than a program has services. A server that changes
/// its version all the time and never says what it takes would add to them without end.
const MAX_ASKED: usize = 1024;

/// How often servers of one version are asked what they offer before that stays unknown.
const MAX_ATTEMPTS: u8 = 3;

/// A typed client's knowledge of a service, and the hash that a server announced.
///
/// Schemas are statics: they are told apart by where they are.
#[derive(Clone, Debug)]
struct Version {
    expects: &'static ServiceSchema,
    hash: CompactString,
}

impl PartialEq for Version {
    fn eq(&self, other: &Version) -> bool {
        std::ptr::eq(self.expects, other.expects) && self.hash == other.hash
    }
}

/// A server is to be asked what it offers.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) peer: PeerId,
    pub(crate) service: CompactString,
    version: Version,
}

/// ```text
///  open ── a call needs it ──> asked ── answer, or none thrice ──> judged
///    ^─────── no answer ─────────┘
/// ```
#[derive(Debug)]
enum Knowledge {
    Open { attempts: u8 },
    Asked { attempts: u8 },
    Judged(BTreeMap<String, Judged>),
}

#[derive(Debug)]
struct Judged {
    verdict: Verdict,
    /// That it is undecided is told once.
    told: bool,
}

/// Whether a server may have a call.
#[derive(Debug, PartialEq)]
pub(crate) enum Judgement {
    /// It may.
    Fits,
    /// It may, and this is to be told.
    Undecided(Difference),
    /// It is being asked what it offers.
    Unknown,
    /// It may not.
    Refused(Difference),
}

/// Every version that was met.
#[derive(Debug, Default)]
pub(crate) struct Compatibility {
    /// What is undecided is refused.
    strict: bool,
    versions: Vec<(Version, Knowledge)>,
    /// Who is to be asked before the actor's turn ends.
    pub(crate) questions: Vec<Question>,
}

impl Compatibility {
    pub(crate) fn new(strict: bool) -> Self {
        Compatibility { strict, ..Compatibility::default() }
    }

    /// Whether a server that announced `hash`, which is another than the client's, may have a call of
    /// `method`. If nobody knows yet, the server at `peer` is asked.
    pub(crate) fn judge(
        &mut self,
        expects: &'static ServiceSchema,
        hash: &CompactString,
        (service, method): (&CompactString, &str),
        peer: PeerId,
    ) -> Judgement {
        let version = Version { expects, hash: hash.clone() };
        let strict = self.strict;
        let Some(at) = self.position(&version) else { return Judgement::Unknown };
        let knowledge = &mut self.versions[at].1;
        match knowledge {
            Knowledge::Asked { .. } => Judgement::Unknown,
            Knowledge::Open { attempts } => {
                *knowledge = Knowledge::Asked { attempts: *attempts + 1 };
                self.questions.push(Question { peer, service: service.clone(), version });
                Judgement::Unknown
            }
            Knowledge::Judged(methods) => match methods.get_mut(method) {
                None => Judgement::Fits,
                Some(Judged { verdict: Verdict::Compatible, .. }) => Judgement::Fits,
                Some(Judged { verdict: Verdict::Refused(difference), .. }) => {
                    Judgement::Refused(difference.clone())
                }
                Some(Judged { verdict: Verdict::Undecided(difference), .. }) if strict => {
                    Judgement::Refused(difference.clone())
                }
                Some(Judged { verdict: Verdict::Undecided(difference), told }) => {
                    match std::mem::replace(told, true) {
                        false => Judgement::Undecided(difference.clone()),
                        true => Judgement::Fits,
                    }
                }
            },
        }
    }

    /// Where a version is remembered. `None` if too many are being asked about already: calls that
    /// wait come back when one of the answers has come.
    fn position(&mut self, version: &Version) -> Option<usize> {
        if let Some(at) = self.versions.iter().position(|(known, _)| known == version) {
            return Some(at);
        }
        if self.versions.len() >= MAX_VERSIONS {
            // Those that are asked come back to an entry, and answer soon; others are judged again
            // when they are met again.
            self.versions.retain(|(_, knowledge)| matches!(knowledge, Knowledge::Asked { .. }));
            if self.versions.len() >= MAX_ASKED {
                return None;
            }
        }
        let knowledge = match version.hash.is_empty() {
            true => Knowledge::Judged(undecided(version, "the server does not say what it takes")),
            false => Knowledge::Open { attempts: 0 },
        };
        self.versions.push((version.clone(), knowledge));
        Some(self.versions.len() - 1)
    }

    /// A server has said what it offers, or not.
    pub(crate) fn answered(&mut self, question: &Question, answer: Result<Descriptor, Failure>) {
        let version = &question.version;
        let Some((_, knowledge)) = self.versions.iter_mut().find(|(known, _)| known == version)
        else {
            return;
        };
        let Knowledge::Asked { attempts } = *knowledge else { return };
        *knowledge = match answer {
            Ok(offered) => {
                let verdicts = compare(version.expects.expects(), &offered).into_iter();
                let judged =
                    |(name, verdict): (_, _)| (String::from(name), Judged { verdict, told: false });
                Knowledge::Judged(verdicts.map(judged).collect())
            }
            Err(_) if attempts < MAX_ATTEMPTS => Knowledge::Open { attempts },
            Err(failure) => {
                let why = format!("the server did not say what it takes: {}", failure.message);
                Knowledge::Judged(undecided(version, &why))
            }
        };
    }
}

/// The verdict on a server of which nothing can be known.
fn undecided(version: &Version, why: &str) -> BTreeMap<String, Judged> {
    let methods = version.expects.expects().methods.iter().map(|method| {
        let (part, path) = (Part::Method, String::new());
        let difference = Difference { method: method.name.clone(), part, path, why: why.into() };
        let verdict = Verdict::Undecided(difference);
        (method.name.to_string(), Judged { verdict, told: false })
    });
    methods.collect()
}

/// The failure of a call that is refused for this: as the server itself would refuse it.
pub(crate) fn refusal(difference: &Difference) -> Failure {
    let reason = match difference.part {
        Part::Method => Reason::UnknownMethod,
        Part::Parameter(_) => Reason::WrongArguments,
        Part::Result | Part::Error => Reason::Unsupported,
    };
    Failure::new(reason, format!("the server has another version of the service: {difference}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::describe;

    static CALC: ServiceSchema = ServiceSchema::new(|| {
        describe("calc".into(), "".into(), |methods| {
            let add = |it: &mut crate::schema::Describer| it.describe::<i64>();
            methods.method("add".into(), "".into(), "i64".into(), add).options(false, None);
            methods.method("sub".into(), "".into(), "i64".into(), add).options(false, None);
        })
    });

    const PEER: PeerId = PeerId(1);

    fn judge(compatibility: &mut Compatibility, method: &str, hash: &str) -> Judgement {
        compatibility.judge(&CALC, &hash.into(), (&"calc".into(), method), PEER)
    }

    /// The service with one method, which gives something else.
    fn offered(result: &str) -> Descriptor {
        let mut offered = CALC.offers().clone();
        offered.methods.truncate(1);
        offered.methods[0].result_schema = serde_json::json!({ "type": result }).into();
        offered
    }

    #[test]
    fn a_version_is_asked_once_and_its_methods_judged_one_by_one() {
        let mut compatibility = Compatibility::new(false);
        for method in ["add", "sub", "add"] {
            assert_eq!(judge(&mut compatibility, method, "other"), Judgement::Unknown);
        }
        let [question] = &std::mem::take(&mut compatibility.questions)[..] else { panic!("one") };
        compatibility.answered(question, Ok(offered("integer")));
        // Any integer, where one of 64 bits is expected.
        let undecided = judge(&mut compatibility, "add", "other");
        assert!(matches!(undecided, Judgement::Undecided(_)), "{undecided:?}");
        assert_eq!(judge(&mut compatibility, "add", "other"), Judgement::Fits, "told once");
        let refused = judge(&mut compatibility, "sub", "other");
        let Judgement::Refused(difference) = refused else { panic!("{refused:?}") };
        assert_eq!(refusal(&difference).reason, Reason::UnknownMethod);
        assert!(compatibility.questions.is_empty());
    }

    #[test]
    fn strict_refuses_what_is_undecided() {
        let mut compatibility = Compatibility::new(true);
        judge(&mut compatibility, "add", "other");
        let question = compatibility.questions.remove(0);
        compatibility.answered(&question, Ok(offered("integer")));
        let refused = judge(&mut compatibility, "add", "other");
        let Judgement::Refused(difference) = refused else { panic!("{refused:?}") };
        assert_eq!(difference.part, Part::Result);
        assert!(matches!(judge(&mut compatibility, "add", ""), Judgement::Refused(_)));
    }

    #[test]
    fn a_server_that_never_says_is_undecided_in_the_end() {
        let mut compatibility = Compatibility::new(false);
        for _ in 0..MAX_ATTEMPTS {
            assert_eq!(judge(&mut compatibility, "add", "other"), Judgement::Unknown);
            let question = compatibility.questions.remove(0);
            compatibility.answered(&question, Err(Failure::new(Reason::PeerGone, "gone")));
        }
        let judged = judge(&mut compatibility, "add", "other");
        assert!(matches!(judged, Judgement::Undecided(_)), "{judged:?}");
    }

    #[test]
    fn a_server_without_schemas_is_not_asked() {
        let mut compatibility = Compatibility::new(false);
        assert!(matches!(judge(&mut compatibility, "add", ""), Judgement::Undecided(_)));
        assert_eq!(judge(&mut compatibility, "add", ""), Judgement::Fits);
        assert!(compatibility.questions.is_empty());
    }

    #[test]
    fn what_is_asked_about_is_bounded() {
        let mut compatibility = Compatibility::new(false);
        for version in 0..2 * MAX_ASKED {
            let judged = judge(&mut compatibility, "add", &version.to_string());
            assert_eq!(judged, Judgement::Unknown);
        }
        assert_eq!(compatibility.versions.len(), MAX_ASKED);
        assert_eq!(compatibility.questions.len(), MAX_ASKED);
        let question = compatibility.questions.remove(0);
        compatibility.answered(&question, Ok(offered("integer")));
        judge(&mut compatibility, "add", "one more");
        assert_eq!(compatibility.questions.len(), MAX_ASKED);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut compatibility = Compatibility::new(false);
        for version in 0..10 * MAX_VERSIONS {
            judge(&mut compatibility, "add", &version.to_string());
            let question = compatibility.questions.remove(0);
            compatibility.answered(&question, Ok(offered("integer")));
        }
        assert!(compatibility.versions.len() <= MAX_VERSIONS);
    }
}
