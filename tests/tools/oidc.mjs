// An authorization server (oidc-provider) on loopback, with one client, `flowcell` / `s3cret-of-the-client`. Prints {"port"} on its standard output.
// GET /control answers what happened; POST /control changes what happens next: {"redirect_uri", "ttl", "hold", "revoke"}.
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const state = { redirect_uri: 'http://127.0.0.1:9/none', ttl: 3600, hold: false };
const counts = { refreshes: 0, grants: 0, refusals: 0, answered: 0, sent: 0 };
const held = [];
const stored = new Map();

// In memory, and clients as `state` has them.
class Adapter {
  constructor(model) { this.model = model; }
  key(id) { return `${this.model}:${id}`; }
  async upsert(id, payload) { stored.set(this.key(id), payload); }
  async find(id) {
    if (this.model === 'Client' && id === 'flowcell') {
      return {
        client_id: 'flowcell',
        client_secret: 's3cret-of-the-client',
        redirect_uris: [state.redirect_uri],
        grant_types: ['authorization_code', 'refresh_token', 'client_credentials'],
        response_types: ['code'],
      };
    }
    return stored.get(this.key(id));
  }
  async findByUid(uid) { return [...stored.values()].find((payload) => payload.uid === uid); }
  async findByUserCode() { return undefined; }
  async consume(id) { stored.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }
  async destroy(id) { stored.delete(this.key(id)); }
  async revokeByGrantId(grant) {
    for (const [key, payload] of stored) if (payload.grantId === grant) stored.delete(key);
  }
}

const server = createServer();
await new Promise((listening) => { server.listen(0, '127.0.0.1', listening); });
const { port } = server.address();

const provider = new Provider(`http://127.0.0.1:${port}`, {
  adapter: Adapter,
  pkce: { required: () => true },
  rotateRefreshToken: true,
  scopes: ['openid', 'offline_access'],
  features: { devInteractions: { enabled: true }, clientCredentials: { enabled: true } },
  ttl: {
    AccessToken: () => state.ttl, ClientCredentials: () => state.ttl, RefreshToken: 86400, Session: 86400, Grant: 86400, Interaction: 3600, IdToken: 3600,
  },
  cookies: { keys: ['of a test'] },
});
provider.on('grant.success', (ctx) => {
  counts.grants += 1;
  if (ctx.oidc.params.grant_type === 'refresh_token') counts.refreshes += 1;
});
provider.on('grant.error', () => { counts.refusals += 1; });
const serve = provider.callback();

function control(request, response) {
  let body = '';
  request.on('data', (chunk) => { body += chunk; });
  request.on('end', () => {
    const { revoke, ...change } = body ? JSON.parse(body) : {};
    Object.assign(state, change);
    if (revoke) for (const key of [...stored.keys()]) if (/^(AccessToken|RefreshToken|Grant):/.test(key)) stored.delete(key);
    if (!state.hold) for (const release of held.splice(0)) release();
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(counts));
  });
}

server.on('request', (request, response) => {
  if (request.url === '/control') return control(request, response);
  if (request.url === '/token') {
    const end = response.end.bind(response);
    response.on('finish', () => { counts.sent += 1; });
    // All that the provider does has been done by then.
    response.end = (...written) => {
      counts.answered += 1;
      if (state.hold) held.push(() => end(...written));
      else end(...written);
      return response;
    };
  }
  return serve(request, response);
});
console.log(JSON.stringify({ port }));
