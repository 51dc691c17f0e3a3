//! One search for the path of a route: the spellings are asked in order until one gives the expected answer. Pure: decides
//! which to ask next, and how the search ends.

use std::sync::Arc;

use crate::answer::Answer;
use crate::options::PathOptions;
use crate::paths::{AfterWrong, ApiPath, PathChoice};
use crate::promise::{self, Unexpected};

/// The state of a search after an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask the next spelling.
    Next,
    /// It is over.
    Over(Ending),
}

/// How a search has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The last answer is as expected, or the API itself says that there is no such session.
    Found(Found),
    /// The last answer does not show whether the path is right, or is the API's and cannot be read. No other spelling was
    /// asked.
    Inconclusive,
    /// Like [`Wrong`](Self::Wrong), but one answer left out its list, which some servers do for an empty one. That path is
    /// right if another route shows that the API is here.
    Empty(Found, Wrong),
    /// No spelling gave the expected answer.
    Wrong(Wrong),
}

/// Where a route was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The path.
    pub path: Arc<str>,
    /// The answers of the spellings before it: `/a was answered 404 (text/html), /b 302`. Empty if it was the first.
    pub missed: String,
    /// An earlier process had found another one.
    pub has_moved: bool,
}

/// The answers of a route that was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What was asked, and what came back: `/a was answered 404 (text/html), /b 302`.
    pub tried: String,
    /// All of them are 404 or 405.
    pub is_absent: bool,
}

/// A search that is under way.
#[derive(Clone, Debug)]
pub struct Search {
    choice: PathChoice,
    was_known: bool,
    absent_only: bool,
    /// The first path whose answer left out its list.
    empty: Option<Arc<str>>,
}

impl Search {
    /// Begins with the path that `paths` names, or with the spelling that is `remembered`, or with the first.
    pub fn new(path: ApiPath, paths: &PathOptions, remembered: Option<u32>) -> Self {
        let choice = PathChoice::new(path, paths, remembered);
        let was_known = choice.is_known();
        Self { choice, was_known, absent_only: true, empty: None }
    }

    /// The path to ask.
    pub fn path(&self) -> Arc<str> {
        self.choice.current()
    }

    /// Takes the answer under [`path`](Self::path).
    pub fn answered(&mut self, answer: &Answer) -> Step {
        let is_first = !self.choice.is_searching();
        if !self.was_known && self.empty.is_none() && promise::judge(answer, true).is_ok() {
            self.empty = Some(self.path());
        }
        self.judged(promise::judge(answer, self.was_known && is_first))
    }

    /// Takes the judgement of the answer under [`path`](Self::path).
    pub fn judged(&mut self, judgement: Result<(), Unexpected>) -> Step {
        let path = self.path();
        match judgement {
            Ok(()) | Err(Unexpected::NoSuchSession) => {
                let missed = self.choice.tried();
                let has_moved = self.was_known && self.choice.is_searching();
                self.choice.good(&path);
                Step::Over(Ending::Found(Found { path, missed, has_moved }))
            }
            Err(Unexpected::Inconclusive | Unexpected::Malformed(_)) => Step::Over(Ending::Inconclusive),
            Err(Unexpected::Foreign { came, is_absent }) => {
                self.absent_only &= is_absent;
                match self.choice.wrong(&path, came, true) {
                    AfterWrong::TryNext => Step::Next,
                    AfterWrong::Stale | AfterWrong::AllTried | AfterWrong::Stay => {
                        let wrong = Wrong { tried: self.choice.tried(), is_absent: self.absent_only };
                        Step::Over(match self.empty.take() {
                            Some(path) => Ending::Empty(Found { path, ..Found::default() }, wrong),
                            None => Ending::Wrong(wrong),
                        })
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(came: &str) -> Result<(), Unexpected> {
        Err(Unexpected::Foreign { came: came.into(), is_absent: came == "404" })
    }

    fn search(remembered: Option<u32>) -> Search {
        Search::new(ApiPath::Session, &PathOptions::default(), remembered)
    }

    fn found(path: &str, missed: &str, has_moved: bool) -> Step {
        Step::Over(Ending::Found(Found { path: path.into(), missed: missed.into(), has_moved }))
    }

    #[test]
    fn first_spelling_with_the_expected_answer_is_found() {
        for good in [Ok(()), Err(Unexpected::NoSuchSession)] {
            assert_eq!(search(None).judged(good.clone()), found("/api/v1/chat/sessions/{id}", "", false));
            let mut search = search(None);
            assert_eq!([search.judged(foreign("404")), search.judged(foreign("302"))], [Step::Next, Step::Next]);
            let missed = "/api/v1/chat/sessions/{id} was answered 404, /v1/chat/sessions/{id} 302";
            assert_eq!(search.judged(good), found("/v1/chat/chat/sessions/{id}", missed, false));
        }
    }

    #[test]
    fn inconclusive_answer_ends_the_search() {
        for inconclusive in [Unexpected::Inconclusive, Unexpected::Malformed("cut off".into())] {
            assert_eq!(search(None).judged(Err(inconclusive.clone())), Step::Over(Ending::Inconclusive));
            let mut search = search(None);
            search.judged(foreign("404"));
            assert_eq!(search.judged(Err(inconclusive)), Step::Over(Ending::Inconclusive));
        }
    }

    #[test]
    fn failed_search_lists_all_answers() {
        let mut searching = search(None);
        let last = (0..3).map(|_| searching.judged(foreign("404"))).last();
        let tried = "/api/v1/chat/sessions/{id} was answered 404, /v1/chat/sessions/{id} 404, \
                     /v1/chat/chat/sessions/{id} 404";
        assert_eq!(last, Some(Step::Over(Ending::Wrong(Wrong { tried: tried.into(), is_absent: true }))));
        let paths = PathOptions { session: Some("/here/{id}".into()), ..PathOptions::default() };
        let only = Search::new(ApiPath::Session, &paths, Some(2)).judged(foreign("302"));
        let wrong = Wrong { tried: "/here/{id} was answered 302".into(), is_absent: false };
        assert_eq!(only, Step::Over(Ending::Wrong(wrong)));
    }

    #[test]
    fn remembered_spelling_is_asked_first_and_a_move_is_reported() {
        assert_eq!(search(Some(1)).judged(Ok(())), found("/v1/chat/sessions/{id}", "", false));
        let mut moved = search(Some(1));
        assert_eq!(moved.judged(foreign("404")), Step::Next);
        let missed = "/v1/chat/sessions/{id} was answered 404";
        assert_eq!(moved.judged(Ok(())), found("/api/v1/chat/sessions/{id}", missed, true));
    }

    #[test]
    fn omitted_list_is_reported_where_no_spelling_gives_more() {
        let answer = |status: u16, body: &'static str| Answer {
            route: crate::answer::Route::List,
            path: "/x".into(),
            status: Some(status),
            content_type: Some("application/json"),
            elapsed: std::time::Duration::ZERO,
            rate_limit: crate::answer::ApiRateLimit::default(),
            date: None,
            head_received: None,
            request_id: None,
            is_unsent: false,
            result: Ok(body.into()),
        };
        for empty in ["", "{}", "[]"] {
            let mut search = Search::new(ApiPath::List, &PathOptions::default(), None);
            let bodies = ["<html>", empty, "<html>", "<html>"];
            let last = bodies.map(|body| search.answered(&answer(200, body))).into_iter().last();
            let Some(Step::Over(Ending::Empty(found, _))) = last else { panic!("{empty}: {last:?}") };
            assert_eq!(&*found.path, "/v1/chat/sessions", "{empty}");
            // One that gives a list is right all the same.
            let mut search = Search::new(ApiPath::List, &PathOptions::default(), None);
            search.answered(&answer(200, empty));
            let step = search.answered(&answer(200, r#"{"data":[]}"#));
            assert!(matches!(step, Step::Over(Ending::Found(_))), "{step:?}");
        }
    }
}
