//! Keys that all nodes share.

use callboard::store::secrets;

use crate::bed::Bed;

on_both!(whoever_asks_gets_the_same_secret_and_each_name_has_its_own);

async fn whoever_asks_gets_the_same_secret_and_each_name_has_its_own(bed: Bed) {
    let (first, second) = tokio::join!(
        secrets::get_or_make(&bed.store, "a"),
        secrets::get_or_make(&bed.store, "a"),
    );
    let first = first.unwrap();
    assert_eq!(second.unwrap(), first);
    assert_eq!(secrets::get_or_make(&bed.store, "a").await.unwrap(), first);
    assert_ne!(secrets::get_or_make(&bed.store, "b").await.unwrap(), first);
    assert_ne!(first, [0; 32]);
}
