use super::*;
use crate::host_call::mail::Attachment;

fn mail() -> Message {
    Message {
        to: vec!["ana@example.com".to_owned()],
        subject: "Hello".to_owned(),
        text: Some("Hi".to_owned()),
        ..Message::default()
    }
}

fn fault(change: impl Fn(&mut Message)) -> Option<String> {
    let mut mail = mail();
    change(&mut mail);
    check(&mail).err().map(|error| error.field)
}

#[test]
fn texts_that_would_add_headers_are_refused_where_they_stand() {
    assert_eq!(fault(|_| ()), None);
    for injected in ["a\r\nBcc: eve@example.com", "a\nBcc: x", "a\rx", "a\0x", "a\u{85}x"] {
        assert_eq!(fault(|mail| mail.subject = injected.to_owned()).unwrap(), "/subject");
        assert_eq!(fault(|mail| mail.sender = Some(format!("{injected} <a@b.example>"))).unwrap(), "/sender");
        assert_eq!(fault(|mail| mail.reply_to = Some(injected.to_owned())).unwrap(), "/reply_to");
        assert_eq!(fault(|mail| mail.to.push(injected.to_owned())).unwrap(), "/to/1");
        assert_eq!(fault(|mail| mail.cc.push(injected.to_owned())).unwrap(), "/cc/0");
        assert_eq!(fault(|mail| mail.bcc.push(injected.to_owned())).unwrap(), "/bcc/0");
    }
}

#[test]
fn a_mail_says_something_to_somebody_within_limits() {
    assert_eq!(fault(|mail| mail.to.clear()).unwrap(), "/to");
    assert_eq!(fault(|mail| mail.to = vec!["a@b.example".to_owned(); 101]).unwrap(), "/to");
    assert_eq!(fault(|mail| mail.text = None).unwrap(), "/text");
    assert_eq!(fault(|mail| mail.subject = "a".repeat(501)).unwrap(), "/subject");
    assert_eq!(fault(|mail| mail.html = Some("a".repeat(TEXT_BYTES_MAX + 1))).unwrap(), "/html");
    let file = |name: &str, bytes| Attachment::new(name, "text/plain", vec![b'x'; bytes]);
    assert_eq!(fault(|mail| mail.attachments = vec![file("a", 1); 21]).unwrap(), "/attachments");
    assert_eq!(
        fault(|mail| mail.attachments = vec![file("a", ATTACHED_BYTES_MAX / 2 + 1); 2]).unwrap(),
        "/attachments"
    );
    for name in ["", "../x", "a\"b", "a\r\nb"] {
        assert_eq!(fault(|mail| mail.attachments = vec![file(name, 1)]).unwrap(), "/attachments/0/name");
    }
}
