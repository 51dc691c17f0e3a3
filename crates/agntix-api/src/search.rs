//! One search for the path of a route, as the daemon makes it at its first contact: the spellings are asked in order until
//! one answers as the route promises. Pure: which to ask next, and what follows.

use std::sync::Arc;

use super::Answer;
use super::paths::{AfterWrong, ApiPath, PathChoice};
use super::promise::{self, Unkept};
use crate::options::PathOptions;

/// What a search has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Another spelling is to be asked.
    Next,
    /// It is over.
    Over(Ending),
}

/// How a search has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The last answer is what the route promises, or the API's own word that there is no such session.
    Found(Found),
    /// The last answer says nothing of the path, or is the API's and cannot be read: no other spelling was asked for it.
    Unsaid,
    /// The same, but under one of them a list was left out, which may be how an empty one is written: there, if another route
    /// shows that the API itself is here.
    Empty(Found, Wrong),
    /// Something else has come under every spelling that was asked.
    Wrong(Wrong),
}

/// Where a route was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The path.
    pub path: Arc<str>,
    /// What came under those that were asked before it: `/a was answered 404 (text/html), /b 302`. Empty if none was.
    pub missed: String,
    /// It is another one than an earlier process has found.
    pub has_moved: bool,
}

/// What came in place of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What was asked, and what came back: `/a was answered 404 (text/html), /b 302`.
    pub tried: String,
    /// Nothing but 404 or 405 came.
    pub is_absent: bool,
}

/// A search that is under way.
#[derive(Clone, Debug)]
pub struct Search {
    choice: PathChoice,
    was_known: bool,
    absent_only: bool,
    /// Where a list was left out first.
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

    /// What follows from an answer under [`path`](Self::path).
    pub fn answered(&mut self, answer: &Answer) -> Step {
        let is_first = !self.choice.is_searching();
        if !self.was_known && self.empty.is_none() && promise::kept(answer, true).is_ok() {
            self.empty = Some(self.path());
        }
        self.judged(promise::kept(answer, self.was_known && is_first))
    }

    /// What follows from what came under [`path`](Self::path).
    pub fn judged(&mut self, kept: Result<(), Unkept>) -> Step {
        let path = self.path();
        match kept {
            Ok(()) | Err(Unkept::NoSuchSession) => {
                let missed = self.choice.tried();
                let has_moved = self.was_known && self.choice.is_searching();
                self.choice.good(&path);
                Step::Over(Ending::Found(Found { path, missed, has_moved }))
            }
            Err(Unkept::Nothing | Unkept::Malformed(_)) => Step::Over(Ending::Unsaid),
            Err(Unkept::Foreign { came, is_absent }) => {
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

    fn foreign(came: &str) -> Result<(), Unkept> {
        Err(Unkept::Foreign { came: came.into(), is_absent: came == "404" })
    }

    fn search(remembered: Option<u32>) -> Search {
        Search::new(ApiPath::Session, &PathOptions::default(), remembered)
    }

    fn found(path: &str, missed: &str, has_moved: bool) -> Step {
        Step::Over(Ending::Found(Found { path: path.into(), missed: missed.into(), has_moved }))
    }

    #[test]
    fn the_first_spelling_that_answers_as_the_route_promises_is_found() {
        for good in [Ok(()), Err(Unkept::NoSuchSession)] {
            assert_eq!(search(None).judged(good.clone()), found("/api/v1/chat/sessions/{id}", "", false));
            let mut search = search(None);
            assert_eq!([search.judged(foreign("404")), search.judged(foreign("302"))], [Step::Next, Step::Next]);
            let missed = "/api/v1/chat/sessions/{id} was answered 404, /v1/chat/sessions/{id} 302";
            assert_eq!(search.judged(good), found("/v1/chat/chat/sessions/{id}", missed, false));
        }
    }

    #[test]
    fn what_says_nothing_of_the_path_ends_the_search() {
        for unsaid in [Unkept::Nothing, Unkept::Malformed("cut off".into())] {
            assert_eq!(search(None).judged(Err(unsaid.clone())), Step::Over(Ending::Unsaid));
            let mut search = search(None);
            search.judged(foreign("404"));
            assert_eq!(search.judged(Err(unsaid)), Step::Over(Ending::Unsaid));
        }
    }

    #[test]
    fn a_search_in_vain_says_all_that_was_tried() {
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
    fn what_was_remembered_is_asked_first_and_said_to_have_moved_if_it_has() {
        assert_eq!(search(Some(1)).judged(Ok(())), found("/v1/chat/sessions/{id}", "", false));
        let mut moved = search(Some(1));
        assert_eq!(moved.judged(foreign("404")), Step::Next);
        let missed = "/v1/chat/sessions/{id} was answered 404";
        assert_eq!(moved.judged(Ok(())), found("/api/v1/chat/sessions/{id}", missed, true));
    }

    #[test]
    fn a_list_that_is_left_out_is_told_apart_where_no_spelling_gives_more() {
        let answer = |status: u16, body: &'static str| Answer {
            route: crate::Route::List,
            path: "/x".into(),
            status: Some(status),
            content_type: Some("application/json"),
            elapsed: std::time::Duration::ZERO,
            rate_limit: crate::RateLimit::default(),
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
