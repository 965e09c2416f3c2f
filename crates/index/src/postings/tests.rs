//! What is written, beside what the library's own writer makes of the same tokens.

use proptest::prelude::*;
use tantivy::directory::RamDirectory;
use tantivy::index::SegmentComponent;
use tantivy::postings::InvertedIndexSerializer;
use tantivy::schema::Field;
use tantivy::tokenizer::{PreTokenizedString, SimpleTokenizer, TextAnalyzer, Token, TokenizerManager};
use tantivy::{Index, IndexSettings, Segment, SingleSegmentIndexWriter, TantivyDocument};

use super::{GAP, Postings};
use crate::policy::{IndexPolicy, TextIndex};
use crate::schema::{Side, fields};
use crate::words::words;

/// What a record has: exact values and readable strings, each with whether it is personal.
#[derive(Clone, Debug)]
struct Record {
    exact: Vec<(bool, String)>,
    strings: Vec<(bool, String)>,
}

fn record() -> impl Strategy<Value = Record> {
    let exact = prop::collection::vec((any::<bool>(), "[ab]{0,3}"), 0..6);
    let strings = prop::collection::vec((any::<bool>(), "([a-c]{1,2}[ .]){0,4}[x-z]?"), 0..5);
    (exact, strings).prop_map(|(exact, mut strings)| {
        // As records are walked: the public side first.
        strings.sort_by_key(|(personal, _)| *personal);
        Record { exact, strings }
    })
}

fn side(personal: bool) -> Side {
    if personal { Side::Personal } else { Side::Public }
}

fn policy(placed: bool) -> IndexPolicy {
    let text = if placed {
        TextIndex::Positions
    } else {
        TextIndex::Words
    };
    IndexPolicy {
        text,
        ..IndexPolicy::default()
    }
}

/// The bytes of the three files.
type Files = Vec<Vec<u8>>;

const COMPONENTS: [SegmentComponent; 3] = [
    SegmentComponent::Terms,
    SegmentComponent::Postings,
    SegmentComponent::Positions,
];

fn ours(records: &[Record], placed: bool) -> Files {
    let mut postings = Postings::new(placed);
    let mut scratch = String::new();
    for record in records {
        for (personal, value) in &record.exact {
            let number = postings.number(&[value, "!"]);
            postings.note(number, side(*personal));
        }
        for (personal, text) in &record.strings {
            postings.note_words(text, side(*personal), &mut scratch);
        }
        postings.end_record();
    }
    let schema = fields().schema(&policy(placed)).clone();
    let index = Index::create(RamDirectory::create(), schema, IndexSettings::default()).expect("index");
    let segment = index.new_segment();
    let mut serializer = InvertedIndexSerializer::open(&segment).expect("open");
    postings.write(&mut serializer).expect("written");
    serializer.close().expect("closed");
    read(&segment)
}

fn read(segment: &Segment) -> Files {
    let read = |component| {
        let file = segment.open_read(component).expect("file");
        file.read_bytes().expect("bytes").as_slice().to_vec()
    };
    COMPONENTS.map(read).to_vec()
}

fn theirs(records: &[Record], placed: bool) -> Files {
    let tokenizers = TokenizerManager::default();
    tokenizers.register("frames", TextAnalyzer::from(SimpleTokenizer::default()));
    let mut writer: SingleSegmentIndexWriter<TantivyDocument> = Index::builder()
        .schema(fields().schema(&policy(placed)).clone())
        .tokenizers(tokenizers)
        .single_segment_index_writer(RamDirectory::create(), 1 << 20)
        .expect("writer");
    for record in records {
        let mut document = TantivyDocument::new();
        let mut public = Vec::new();
        for personal in [false, true] {
            let of_side = |list: &[(bool, String)]| -> Vec<String> {
                let texts = list.iter().filter(|(is_personal, _)| *is_personal == personal);
                texts.map(|(_, text)| text.clone()).collect()
            };
            let mut tokens: Vec<Token> = Vec::new();
            for value in of_side(&record.exact) {
                add(&mut tokens, 0, &format!("{value}!"), true);
            }
            push(&mut document, fields().terms(side(personal)), tokens);
            let (mut tokens, mut place) = (Vec::new(), 0);
            for text in of_side(&record.strings) {
                place += GAP as usize;
                words(&text, |word| {
                    if placed || !personal || !public.contains(&word.to_owned()) {
                        add(&mut tokens, place, word, !placed);
                    }
                    place += 1;
                });
            }
            public.extend(tokens.iter().map(|token| token.text.clone()));
            push(&mut document, fields().words(side(personal)), tokens);
        }
        writer.add_document(document).expect("added");
    }
    let index = writer.finalize().expect("finished");
    let segment = index.searchable_segments().expect("segments").remove(0);
    read(&segment)
}

fn add(tokens: &mut Vec<Token>, position: usize, text: &str, once: bool) {
    if !once || tokens.iter().all(|token| token.text != text) {
        tokens.push(Token {
            position,
            text: text.to_owned(),
            ..Token::default()
        });
    }
}

fn push(document: &mut TantivyDocument, field: Field, tokens: Vec<Token>) {
    if !tokens.is_empty() {
        let text = String::new();
        document.add_pre_tokenized_text(field, PreTokenizedString { text, tokens });
    }
}

proptest! {
    #[test]
    fn what_is_written_is_what_the_library_writes(
        records in prop::collection::vec(record(), 1..40),
        times in 1_usize..20,
        placed in any::<bool>(),
    ) {
        // Many records make whole blocks.
        let records = vec![records; times].concat();
        let (ours, theirs) = (ours(&records, placed), theirs(&records, placed));
        for (component, (ours, theirs)) in COMPONENTS.iter().zip(ours.iter().zip(&theirs)) {
            prop_assert_eq!(ours, theirs, "{:?}", component);
        }
    }
}
