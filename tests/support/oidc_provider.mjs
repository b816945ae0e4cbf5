// An issuer of OpenID Connect for tests: the npm package oidc-provider, with clients that git's
// credential helpers can be, and users whose passwords are not looked at.
//
//   node oidc_provider.mjs PACKAGE PORT AUDIENCE LFS_PORT
//
// The client "git" gets access tokens that are JWTs for AUDIENCE and tell the groups, and
// "git-opaque" gets opaque ones; "giftless" may introspect.  Whoever logs in as NAME is in the
// groups NAME and "everybody-here".  What is below /acme/ is passed on to the LFS server at
// LFS_PORT, so that both have one host, as behind a proxy.

import { createServer, request } from 'node:http';
import { generateKeyPairSync } from 'node:crypto';
import { pathToFileURL } from 'node:url';

const [, , packagePath, port, audience, lfsPort] = process.argv;
const { default: Provider } = await import(pathToFileURL(`${packagePath}/lib/index.js`));

const key = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
const deviceCode = 'urn:ietf:params:oauth:grant-type:device_code';
const claimsOf = (name) => ({ preferred_username: name, groups: [name, 'everybody-here'] });

const gitClient = (name) => ({
  client_id: name,
  application_type: 'native',
  token_endpoint_auth_method: 'none',
  grant_types: ['authorization_code', 'refresh_token', deviceCode],
  // With a slash for Git Credential Manager, without for git-credential-oauth.
  redirect_uris: ['http://127.0.0.1', 'http://127.0.0.1/'],
});

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    gitClient('git'),
    gitClient('git-opaque'),
    {
      client_id: 'giftless',
      client_secret: 'the secret of giftless',
      grant_types: [],
      redirect_uris: [],
      response_types: [],
    },
  ],
  jwks: { keys: [{ ...key, kid: `key-${process.pid}`, use: 'sig', alg: 'RS256' }] },
  pkce: { required: () => false },
  cookies: { keys: ['a key of tests'] },
  scopes: ['openid', 'profile', 'groups', 'offline_access'],
  claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...claimsOf(id) }) }),
  extraTokenClaims: (ctx, token) => (token.accountId ? claimsOf(token.accountId) : undefined),
  features: {
    deviceFlow: { enabled: true },
    devInteractions: { enabled: true },
    introspection: { enabled: true, allowedPolicy: (ctx, client) => client.clientId === 'giftless' },
    resourceIndicators: {
      enabled: true,
      defaultResource: (ctx, client) => (client.clientId === 'git' ? audience : undefined),
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope: 'lfs', audience, accessTokenFormat: 'jwt' }),
    },
  },
});

const answer = provider.callback();

function passOn(incoming, outgoing) {
  const { method, url, headers } = incoming;
  const passed = request({ host: '127.0.0.1', port: lfsPort, method, path: url, headers }, (reply) => {
    outgoing.writeHead(reply.statusCode, reply.rawHeaders);
    reply.pipe(outgoing);
  });
  passed.on('error', () => outgoing.destroy());
  incoming.pipe(passed);
}

// The git-credential-oauth of Debian 12 makes proofs (RFC 7636) with characters that they must
// not have, and a state that ends with "=", by which it is known.
async function withoutWrongProof(incoming) {
  const url = new URL(incoming.url, 'http://127.0.0.1');
  if (url.pathname === '/auth' && url.searchParams.get('state')?.endsWith('=')) {
    url.searchParams.delete('code_challenge');
    url.searchParams.delete('code_challenge_method');
    incoming.url = url.pathname + url.search;
  } else if (url.pathname === '/token') {
    const chunks = [];
    for await (const chunk of incoming) chunks.push(chunk);
    const form = new URLSearchParams(Buffer.concat(chunks).toString());
    if (!/^[A-Za-z0-9._~-]+$/.test(form.get('code_verifier'))) form.delete('code_verifier');
    incoming.body = Object.fromEntries(form);
  }
}

createServer(async (incoming, outgoing) => {
  if (incoming.url.startsWith('/acme/')) {
    passOn(incoming, outgoing);
  } else {
    await withoutWrongProof(incoming);
    answer(incoming, outgoing);
  }
}).listen(Number(port), '127.0.0.1');
