//! A small reader of both text formats, written from their grammar and not from the writer.

use std::iter::Peekable;
use std::str::Chars;

/// One line of samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: String,
    pub exemplar: Option<Exemplar>,
}

/// What stands behind a sample in OpenMetrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemplar {
    pub labels: Vec<(String, String)>,
    pub value: String,
    pub at: String,
}

/// All samples of a page. Panics on what is neither a comment nor a sample.
pub fn samples(page: &str) -> Vec<Sample> {
    page.split('\n').filter(|l| !l.is_empty() && !l.starts_with('#')).map(sample).collect()
}

fn sample(line: &str) -> Sample {
    let mut rest = line.chars().peekable();
    let mut name = String::new();
    while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
        name.push(c);
    }
    let labels = labels(&mut rest, line);
    assert_eq!(rest.next(), Some(' '), "{line}");
    let value: String = std::iter::from_fn(|| rest.next_if(|c| *c != ' ')).collect();
    let exemplar = rest.next().map(|_| {
        assert_eq!((rest.next(), rest.next()), (Some('#'), Some(' ')), "{line}");
        let labels = self::labels(&mut rest, line);
        assert_eq!(rest.next(), Some(' '), "{line}");
        let rest: String = rest.collect();
        let (value, at) = rest.split_once(' ').unwrap();
        Exemplar { labels, value: value.to_owned(), at: at.to_owned() }
    });
    Sample { name, labels, value, exemplar }
}

fn labels(rest: &mut Peekable<Chars<'_>>, line: &str) -> Vec<(String, String)> {
    let mut labels = Vec::new();
    if rest.next_if_eq(&'{').is_some() {
        while rest.next_if_eq(&'}').is_none() {
            let mut label = String::new();
            while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
                label.push(c);
            }
            assert_eq!((rest.next(), rest.next()), (Some('='), Some('"')), "{line}");
            let mut value = String::new();
            loop {
                match rest.next() {
                    Some('"') => break,
                    Some('\\') => value.push(match rest.next() {
                        Some('n') => '\n',
                        Some(c @ ('\\' | '"')) => c,
                        other => panic!("escape {other:?} in {line}"),
                    }),
                    Some(c) => value.push(c),
                    None => panic!("no end of the label in {line}"),
                }
            }
            labels.push((label, value));
            rest.next_if_eq(&',');
        }
    }
    labels
}
