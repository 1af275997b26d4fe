//! stub
pub fn event(_id: Option<&str>, _name: &str, _data: &str) -> String {
    String::new()
}
