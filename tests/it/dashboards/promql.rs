//! As much of Prometheus' language as the rules about expressions need: its selectors, what is called on them, and its label lists.
//! Whether an expression is sound as a whole is for Prometheus to say.

/// A selector of series: `name{label="value"}[range]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selector {
    pub name: String,
    /// Label, operator and value.
    pub matchers: Vec<(String, String, String)>,
    pub range: Option<String>,
    /// The functions and aggregations around it, the innermost first.
    pub within: Vec<String>,
}

/// What an expression is made of.
#[derive(Debug, Default)]
pub struct Parts {
    pub selectors: Vec<Selector>,
    /// Labels named by `by`, `on` and the like.
    pub labels: Vec<String>,
    /// Texts outside of selectors: among them the labels that `label_replace`, `label_join` and `count_values` make.
    pub texts: Vec<String>,
    /// Words that are followed by nothing that makes them a selector or a call.
    pub words: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

fn tokens(expr: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = expr.chars().peekable();
    while let Some(c) = rest.next() {
        if c.is_whitespace() {
            continue;
        }
        if c == '"' {
            let mut text = String::new();
            while let Some(c) = rest.next() {
                match c {
                    '"' => break,
                    '\\' => text.extend(rest.next()),
                    c => text.push(c),
                }
            }
            tokens.push(Token::Text(text));
        } else if c.is_alphanumeric() || "_:$.".contains(c) {
            let mut word = String::from(c);
            while let Some(c) = rest.next_if(|c| c.is_alphanumeric() || "_:$.".contains(*c)) {
                word.push(c);
            }
            tokens.push(Token::Word(word));
        } else {
            tokens.push(Token::Sign(c));
        }
    }
    tokens
}

/// Takes an expression apart.
pub fn parts(expr: &str) -> Parts {
    let tokens = tokens(expr);
    let mut parts = Parts::default();
    let (mut calls, mut last): (Vec<String>, Option<String>) = (Vec::new(), None);
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let next = tokens.get(at + 1);
        at += 1;
        match token {
            Token::Word(name) if next == Some(&Token::Sign('{')) => {
                at += 1;
                let mut selector = Selector { name: name.clone(), ..Selector::default() };
                at = matchers(&tokens, at, &mut selector);
                if tokens.get(at) == Some(&Token::Sign('[')) {
                    let end = at + tokens[at..].iter().position(|token| *token == Token::Sign(']')).unwrap();
                    selector.range = Some(tokens[at + 1..end].iter().map(spelled).collect());
                    at = end + 1;
                }
                selector.within = calls.iter().rev().filter(|name| !name.is_empty()).cloned().collect();
                parts.selectors.push(selector);
            }
            Token::Word(word) if is_list(word) && next == Some(&Token::Sign('(')) => {
                let end = at + tokens[at..].iter().position(|token| *token == Token::Sign(')')).unwrap();
                parts.labels.extend(tokens[at..end].iter().filter_map(|token| match token {
                    Token::Word(label) => Some(label.clone()),
                    _ => None,
                }));
                // `sum by (agent_id) (`: the call is still that of `sum`.
                at = end + 1;
            }
            Token::Word(word) => {
                if next != Some(&Token::Sign('(')) {
                    parts.words.push(word.clone());
                }
                last = Some(word.clone());
            }
            Token::Sign('(') => calls.push(last.take().unwrap_or_default()),
            Token::Sign(')') => {
                calls.pop();
                last = None;
            }
            Token::Sign(_) => last = None,
            Token::Text(text) => parts.texts.push(text.clone()),
        }
    }
    parts
}

fn matchers(tokens: &[Token], mut at: usize, selector: &mut Selector) -> usize {
    loop {
        match tokens.get(at) {
            Some(Token::Sign('}')) => return at + 1,
            Some(Token::Word(label)) => {
                let (mut operator, mut end) = (String::new(), at + 1);
                while let Some(Token::Sign(sign)) = tokens.get(end) {
                    operator.push(*sign);
                    end += 1;
                }
                let Some(Token::Text(value)) = tokens.get(end) else { panic!("no value for {label}: {tokens:?}") };
                selector.matchers.push((label.clone(), operator, value.clone()));
                at = end + 1;
            }
            Some(Token::Sign(',')) => at += 1,
            other => panic!("{other:?} in a selector: {tokens:?}"),
        }
    }
}

fn is_list(word: &str) -> bool {
    ["by", "without", "on", "ignoring", "group_left", "group_right"].contains(&word)
}

fn spelled(token: &Token) -> String {
    match token {
        Token::Word(word) => word.clone(),
        Token::Text(text) => format!("{text:?}"),
        Token::Sign(sign) => sign.to_string(),
    }
}

#[test]
fn an_expression_is_taken_apart() {
    let parts = parts(
        r#"60 * sum by (le, agent_id) (rate(a_total{job=~"$job", b="x{}\"y"}[$__rate_interval])) and on (c) up{d!~"2.."} > bool 1"#,
    );
    let matcher = |label: &str, operator: &str, value: &str| (label.to_owned(), operator.to_owned(), value.to_owned());
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        parts.selectors,
        [
            Selector {
                name: "a_total".into(),
                matchers: vec![matcher("job", "=~", "$job"), matcher("b", "=", "x{}\"y")],
                range: Some("$__rate_interval".into()),
                within: names(&["rate", "sum"]),
            },
            Selector { name: "up".into(), matchers: vec![matcher("d", "!~", "2..")], ..Selector::default() },
        ]
    );
    assert_eq!(parts.labels, names(&["le", "agent_id", "c"]));
    assert_eq!(parts.words, names(&["60", "sum", "and", "bool", "1"]));
    assert_eq!(super::promql::parts(r#"label_replace(up{}, "a", "$1", "b", "(.*)")"#).texts, ["a", "$1", "b", "(.*)"]);
}
