// Signs and verifies with the providers' own libraries. One JSON document a line on the standard input, one answer a line on the output:
// {"sign": scheme, "secret", "body", "at"} is answered with {"headers"}, {"verify": scheme, "secret", "body", "headers"} with {"valid"}.
import { createHmac } from 'node:crypto';
import { createInterface } from 'node:readline';
import { Webhooks } from '@octokit/webhooks';
import bolt from '@slack/bolt';
import { Webhook } from 'standardwebhooks';
import Stripe from 'stripe';

const stripe = new Stripe('sk_test_none');

const schemes = {
  github: {
    sign: async ({ secret, body }) => ({ 'x-hub-signature-256': await new Webhooks({ secret }).sign(body) }),
    verify: ({ secret, body, headers }) => new Webhooks({ secret }).verify(body, headers['x-hub-signature-256']),
  },
  stripe: {
    sign: ({ secret, body, at }) => ({
      'stripe-signature': stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: at }),
    }),
    verify: ({ secret, body, headers }) => Boolean(stripe.webhooks.constructEvent(body, headers['stripe-signature'], secret)),
  },
  'standard-webhooks': {
    sign: ({ secret, body, at }) => ({
      'webhook-id': `msg_${at}`,
      'webhook-timestamp': String(at),
      'webhook-signature': new Webhook(secret).sign(`msg_${at}`, new Date(at * 1000), body),
    }),
    verify: ({ secret, body, headers }) => Boolean(new Webhook(secret).verify(body, headers, { jsonParse: false })),
  },
  slack: {
    // Bolt only verifies: what it does not take is no signature of Slack's.
    sign: ({ secret, body, at }) => {
      const code = createHmac('sha256', secret).update(`v0:${at}:${body}`).digest('hex');
      const headers = { 'x-slack-request-timestamp': String(at), 'x-slack-signature': `v0=${code}` };
      if (!schemes.slack.verify({ secret, body, headers })) throw new Error('Bolt does not take it');
      return headers;
    },
    verify: ({ secret, body, headers }) => bolt.isValidSlackRequest({
      signingSecret: secret,
      body,
      headers: {
        'x-slack-signature': headers['x-slack-signature'],
        'x-slack-request-timestamp': Number(headers['x-slack-request-timestamp']),
      },
    }),
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  if (asked.sign) {
    console.log(JSON.stringify({ headers: await schemes[asked.sign].sign(asked) }));
  } else {
    let valid = false;
    try {
      valid = Boolean(await schemes[asked.verify].verify(asked));
    } catch {
      // Refused, as is meant.
    }
    console.log(JSON.stringify({ valid }));
  }
}
