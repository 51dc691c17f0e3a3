//! The path of each route. The vendor's pages disagree about it, so where none is configured their spellings are tried in
//! order until one gives the expected answer. Pure: decides which spelling to ask next.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::answer::Route;
use crate::options::PathOptions;

/// A route with a path of its own in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ApiPath {
    /// `api.session_path`
    Session,
    /// `api.list_path`
    List,
    /// `api.agents_path`
    Agents,
    /// `api.stream_path`
    Stream,
}

impl ApiPath {
    /// All of them. A path's place is the number under which the ledger stores it: never move one.
    pub const ALL: [Self; 4] = [Self::Session, Self::List, Self::Agents, Self::Stream];

    /// The key in the configuration.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Session => "api.session_path",
            Self::List => "api.list_path",
            Self::Agents => "api.agents_path",
            Self::Stream => "api.stream_path",
        }
    }

    /// What the route gives, as a person says it.
    pub const fn gives(self) -> &'static str {
        match self {
            Self::Session => "single sessions",
            Self::List => "the listing of sessions",
            Self::Agents => "the agents",
            Self::Stream => "the event stream",
        }
    }

    /// The spellings of the vendor's pages, in the order in which they are tried. The ledger stores a place in this list:
    /// append, never move one.
    const fn spellings(self) -> &'static [&'static str] {
        match self {
            Self::Session => &["/api/v1/chat/sessions/{id}", "/v1/chat/sessions/{id}", "/v1/chat/chat/sessions/{id}"],
            Self::List => {
                &["/api/v1/chat/sessions", "/v1/chat/sessions", "/v1/chat/chat/sessions", "/api/v1/chat/chat/sessions"]
            }
            Self::Agents => &["/v1/chat/agents", "/api/v1/chat/agents"],
            Self::Stream => &["/v1/chat/events/stream", "/api/v1/chat/events/stream"],
        }
    }

    fn configured(self, paths: &PathOptions) -> Option<&str> {
        match self {
            Self::Session => paths.session.as_deref(),
            Self::List => paths.list.as_deref(),
            Self::Agents => paths.agents.as_deref(),
            Self::Stream => paths.stream.as_deref(),
        }
    }

    /// The paths to try: the configured one, or the spellings.
    pub fn candidates(self, paths: &PathOptions) -> Vec<Arc<str>> {
        match self.configured(paths) {
            Some(path) => vec![Arc::from(path)],
            None => self.spellings().iter().map(|path| Arc::from(*path)).collect(),
        }
    }
}

impl From<Route> for ApiPath {
    fn from(route: Route) -> Self {
        match route {
            Route::Session | Route::Messages => Self::Session,
            Route::List => Self::List,
            Route::Agents => Self::Agents,
        }
    }
}

/// What to do after an unexpected answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterWrong {
    /// It belongs to another spelling than the current one; ignore it.
    Stale,
    /// Ask the next spelling at once.
    TryNext,
    /// No spelling gives the expected answer.
    AllTried,
    /// Do not try another spelling for now.
    Stay,
}

/// Which spelling of a path is asked.
#[derive(Clone, Debug)]
pub struct PathChoice {
    path: ApiPath,
    candidates: Vec<Arc<str>>,
    current: usize,
    /// The one that gave the expected answer.
    taken: Option<usize>,
    /// Candidates asked in the present search.
    searched: Vec<usize>,
    /// What came back last, by candidate.
    came: Vec<Option<String>>,
}

impl PathChoice {
    /// The choice for `path`; `remembered` is the place among the spellings that an earlier process has taken.
    pub fn new(path: ApiPath, paths: &PathOptions, remembered: Option<u32>) -> Self {
        Self::among(path, path.candidates(paths), remembered)
    }

    /// The choice among `candidates`.
    pub fn among(path: ApiPath, candidates: Vec<Arc<str>>, remembered: Option<u32>) -> Self {
        let is_choice = candidates.len() > 1;
        let taken = remembered
            .and_then(|place| usize::try_from(place).ok())
            .filter(|place| is_choice && *place < candidates.len());
        let came = vec![None; candidates.len()];
        Self { path, current: taken.unwrap_or(0), taken, searched: Vec::new(), came, candidates }
    }

    /// What may be asked.
    pub fn candidates(&self) -> &[Arc<str>] {
        &self.candidates
    }

    /// The path to ask.
    pub fn current(&self) -> Arc<str> {
        self.candidates.get(self.current).cloned().unwrap_or_default()
    }

    /// Whether the path is known: configured, or one that has given the expected answer.
    pub fn is_known(&self) -> bool {
        self.candidates.len() == 1 || self.taken.is_some()
    }

    /// Whether there is more than one spelling to choose from.
    pub fn is_choice(&self) -> bool {
        self.candidates.len() > 1
    }

    /// Whether every candidate has been asked and none gave the expected answer.
    pub fn has_tried_all(&self) -> bool {
        self.came.iter().all(Option::is_some)
    }

    /// Whether a search among the spellings is under way.
    pub fn is_searching(&self) -> bool {
        !self.searched.is_empty()
    }

    /// The choice under another configuration. What has worked is asked first if it is among the candidates still.
    #[must_use]
    pub fn reconfigured(&self, paths: &PathOptions) -> Self {
        self.anew_among(self.path.candidates(paths))
    }

    /// The choice among other candidates, or for another API. What has worked is asked first if it is among them.
    #[must_use]
    pub fn anew_among(&self, candidates: Vec<Arc<str>>) -> Self {
        let worked = self.taken.and_then(|place| self.candidates.get(place));
        let mut choice = Self::among(self.path, candidates, None);
        if let Some(place) = worked.and_then(|worked| choice.candidates.iter().position(|path| path == worked)) {
            choice.current = place;
        }
        choice
    }

    /// `asked` gave the expected answer. Returns the place of the spelling if it is a new choice, to be remembered.
    pub fn good(&mut self, asked: &str) -> Option<u32> {
        let place = self.candidates.iter().position(|candidate| **candidate == *asked)?;
        self.searched.clear();
        self.came.fill(None);
        self.current = place;
        let is_news = self.taken.replace(place) != Some(place) && self.is_choice();
        is_news.then(|| u32::try_from(place).unwrap_or_default())
    }

    /// `asked` gave an unexpected answer, described by `came`. A search that is under way goes on; a new one begins only if
    /// it `may_search`.
    pub fn wrong(&mut self, asked: &str, came: String, may_search: bool) -> AfterWrong {
        if *self.current() != *asked {
            return AfterWrong::Stale;
        }
        if let Some(last) = self.came.get_mut(self.current) {
            *last = Some(came);
        }
        if !self.is_choice() {
            return AfterWrong::AllTried;
        }
        if self.searched.is_empty() && !may_search {
            return AfterWrong::Stay;
        }
        self.searched.push(self.current);
        if let Some(next) = (0..self.candidates.len()).find(|place| !self.searched.contains(place)) {
            self.current = next;
            return AfterWrong::TryNext;
        }
        self.searched.clear();
        self.current = self.taken.unwrap_or(0);
        AfterWrong::AllTried
    }

    /// What was asked and what came back, as the end of a sentence: `/a was answered 404 (text/html), /b 302`.
    pub fn tried(&self) -> String {
        let mut text = String::new();
        for (candidate, came) in self.candidates.iter().zip(&self.came) {
            let Some(came) = came else { continue };
            let verb = if text.is_empty() { " was answered" } else { "" };
            let comma = if text.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}{candidate}{verb} {came}");
        }
        text
    }

    /// The key in the configuration.
    pub fn key(&self) -> &'static str {
        self.path.key()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(remembered: Option<u32>) -> PathChoice {
        PathChoice::new(ApiPath::List, &PathOptions::default(), remembered)
    }

    fn wrong(choice: &mut PathChoice, may_search: bool) -> AfterWrong {
        let asked = choice.current();
        choice.wrong(&asked, "404".into(), may_search)
    }

    #[test]
    fn spellings_are_tried_in_order_and_the_first_good_one_is_taken() {
        let mut choice = list(None);
        assert_eq!(&*choice.current(), "/api/v1/chat/sessions");
        assert_eq!(wrong(&mut choice, true), AfterWrong::TryNext);
        assert_eq!(wrong(&mut choice, false), AfterWrong::TryNext, "a search under way goes on");
        assert_eq!(&*choice.current(), "/v1/chat/chat/sessions");
        assert_eq!(choice.tried(), "/api/v1/chat/sessions was answered 404, /v1/chat/sessions 404");
        assert!(!choice.is_known());
        assert_eq!(choice.good("/v1/chat/chat/sessions"), Some(2));
        assert_eq!(
            (choice.good("/v1/chat/chat/sessions"), choice.is_known(), choice.tried()),
            (None, true, String::new())
        );
    }

    #[test]
    fn answer_of_an_earlier_spelling_is_stale() {
        let mut choice = list(None);
        wrong(&mut choice, true);
        assert_eq!(choice.wrong("/api/v1/chat/sessions", "404".into(), true), AfterWrong::Stale);
        assert_eq!(&*choice.current(), "/v1/chat/sessions");
        assert_eq!(choice.good("/api/v1/chat/sessions"), Some(0), "but a good one is one");
    }

    #[test]
    fn failed_search_returns_to_the_remembered_spelling() {
        let mut choice = list(Some(1));
        assert_eq!((&*choice.current(), choice.is_known()), ("/v1/chat/sessions", true));
        assert_eq!(wrong(&mut choice, false), AfterWrong::Stay);
        let search: Vec<_> = (0..4).map(|_| (choice.current(), wrong(&mut choice, true))).collect();
        assert_eq!(search.iter().filter(|(_, after)| *after == AfterWrong::TryNext).count(), 3, "{search:?}");
        assert_eq!(search[3].1, AfterWrong::AllTried);
        assert_eq!(&*choice.current(), "/v1/chat/sessions");
        assert_eq!(choice.tried().matches("404").count(), 4);
    }

    #[test]
    fn a_configured_path_is_the_only_one() {
        let paths = PathOptions { list: Some("/here".into()), ..PathOptions::default() };
        let mut choice = PathChoice::new(ApiPath::List, &paths, Some(3));
        assert_eq!((&*choice.current(), choice.is_known()), ("/here", true));
        assert_eq!(wrong(&mut choice, true), AfterWrong::AllTried);
        assert_eq!((choice.good("/here"), &*choice.current()), (None, "/here"));
        assert_eq!(list(Some(99)).taken, None, "a place that this version does not know");
    }
}
