// Signs and verifies with the providers' own libraries. One JSON document a line on the standard input, one answer a line on the output:
// {"sign": scheme, "secret", "body", "at"} is answered with {"headers"}, {"verify": scheme, "secret", "body", "headers"} with {"valid"},
// {"key": secret} with {"public_key"}: the Ed25519 key that is made of a secret.
import { createHash, createHmac, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { createInterface } from 'node:readline';
import { HighLevel } from '@gohighlevel/api-client';
import { Webhooks } from '@octokit/webhooks';
import '@shopify/shopify-api/adapters/node';
import { ApiVersion, LogSeverity, shopifyApi } from '@shopify/shopify-api';
import { createSHA256HMAC } from '@shopify/shopify-api/runtime';
import bolt from '@slack/bolt';
import { Webhook } from 'standardwebhooks';
import Stripe from 'stripe';

const stripe = new Stripe('sk_test_none');

const highlevel = new HighLevel({ privateIntegrationToken: 'none', logLevel: 'silent' });

/** HighLevel signs with one key for all; the test has its own, made of a text. */
const keyOf = (secret) => createPrivateKey({
  key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), createHash('sha256').update(secret).digest()]),
  format: 'der',
  type: 'pkcs8',
});
const pemOf = (secret) => createPublicKey(keyOf(secret)).export({ type: 'spki', format: 'pem' });

const shopify = (secret) => shopifyApi({
  apiKey: 'none',
  apiSecretKey: secret,
  scopes: [],
  hostName: 'flowcell.test',
  apiVersion: ApiVersion.October25,
  isEmbeddedApp: false,
  logger: { level: LogSeverity.Error, log: () => {} },
});

const schemes = {
  shopify: {
    sign: async ({ secret, body }) => ({ 'x-shopify-hmac-sha256': await createSHA256HMAC(secret, body) }),
    verify: async ({ secret, body, headers }) => {
      const about = { 'x-shopify-topic': 'orders/create', 'x-shopify-shop-domain': 'a.myshopify.com', 'x-shopify-api-version': '2025-10', 'x-shopify-webhook-id': '1' };
      const rawRequest = { method: 'POST', url: '/', headers: { ...about, ...headers } };
      return (await shopify(secret).webhooks.validate({ rawBody: body, rawRequest, rawResponse: {} })).valid;
    },
  },
  highlevel: {
    // The library only verifies, as Bolt.
    sign: ({ secret, body }) => {
      const headers = { 'x-ghl-signature': sign(null, Buffer.from(body), keyOf(secret)).toString('base64') };
      if (!schemes.highlevel.verify({ secret, body, headers })) throw new Error('the library does not take it');
      return headers;
    },
    verify: ({ secret, body, headers }) => highlevel.webhooks.verifyEd25519Signature(body, headers['x-ghl-signature'], pemOf(secret)),
  },
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
  if (asked.key) {
    console.log(JSON.stringify({ public_key: pemOf(asked.key) }));
  } else if (asked.sign) {
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
