//! The other side of the tests is there and agrees with itself, before anything of Flowcell is held against it.

use flowcell_tests::tools::{node, printed, python};

/// The example of the specification of Standard Webhooks.
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn the_public_libraries_are_set_up_in_both_languages() {
    let script = "
        import { Webhook } from 'standardwebhooks';
        await Promise.all(['@octokit/webhooks', 'stripe', '@slack/bolt', 'oidc-provider'].map((name) => import(name)));
        const secret = process.argv.at(-1);
        console.log(new Webhook(secret).sign('msg_p5jXN8AQM9LWM0D4loKWxJek', new Date(1614265330000), '{\"test\": 2432232314}'));
    ";
    assert_eq!(printed(&mut node(script, &[SECRET])), SIGNATURE);
    let script = r#"
import sys, datetime, standardwebhooks
time = datetime.datetime.fromtimestamp(1614265330, datetime.timezone.utc)
print(standardwebhooks.Webhook(sys.argv[1]).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time, '{"test": 2432232314}'))
"#;
    assert_eq!(printed(&mut python(script, &[SECRET])), SIGNATURE);
}
