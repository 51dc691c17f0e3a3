//! A small reader of both text formats, written from their grammar and not from the writer.

/// One line of samples.
#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: String,
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
    assert_eq!(rest.next(), Some(' '), "{line}");
    let value = rest.collect::<String>().split(' ').next().unwrap_or_default().to_owned();
    Sample { name, labels, value }
}
