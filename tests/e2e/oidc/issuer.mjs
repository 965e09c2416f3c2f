// A real OpenID provider (npm oidc-provider) on a loopback port, for the end-to-end tests.
//
// Prints {"url": "..."} when it listens. Beside the provider's own routes it answers, for tests only:
//   /test/rotate          signs with a new key from now on and publishes only that one
//   /test/clock?s=N       its clock is N seconds off from now on
//   /test/forge?kind=K    a token that must be refused; needs ?token= of a good one
// MODULES is the folder that has node_modules.
import crypto from 'node:crypto';
import http from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(`${process.env.MODULES}/`);
const { Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));

const realNow = Date.now.bind(Date);
let clockOffsetMs = 0;
Date.now = () => realNow() + clockOffsetMs;

const resources = { 'urn:attestore': 'attestore', 'urn:other': 'other' };
let url, provider, keyNumber = 0, publicJwk;

function makeProvider() {
  keyNumber += 1;
  const { privateKey, publicKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const kid = `key-${keyNumber}`;
  publicJwk = { ...publicKey.export({ format: 'jwk' }), kid, pem: publicKey.export({ format: 'pem', type: 'spki' }) };
  const made = new Provider(url, {
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'ES256' }] },
    clients: ['siem', 'billing'].map((client_id) => ({
      client_id, client_secret: 'secret', grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
      scope: 'audit.read audit.write audit.admin', id_token_signed_response_alg: 'ES256',
    })),
    scopes: ['audit.read', 'audit.write', 'audit.admin'],
    cookies: { keys: [crypto.randomBytes(16).toString('hex')] },
    extraTokenClaims: (_ctx, token) => ({ org: { tenants: [token.clientId === 'siem' ? 'default' : 'acme'] } }),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, resource) => ({
          scope: 'audit.read audit.write audit.admin', audience: resources[resource],
          accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
  });
  return made.callback();
}

const b64 = (value) => Buffer.from(typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value)).toString('base64url');
const read = (part) => JSON.parse(Buffer.from(part, 'base64url').toString());

function forge(kind, token) {
  const [header, payload, signature] = token.split('.');
  const own = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const sign = (head, body, key = own.privateKey) => {
    const signed = `${b64(head)}.${body}`;
    return `${signed}.${b64(crypto.sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }))}`;
  };
  const hmac = (secret) => {
    const signed = `${b64({ ...read(header), alg: 'HS256' })}.${payload}`;
    return `${signed}.${crypto.createHmac('sha256', secret).update(signed).digest('base64url')}`;
  };
  switch (kind) {
    case 'hs256-pem': return hmac(publicJwk.pem);
    case 'hs256-x': return hmac(Buffer.from(publicJwk.x, 'base64url'));
    case 'none': return `${b64({ ...read(header), alg: 'none' })}.${payload}.`;
    case 'none-signed': return `${b64({ ...read(header), alg: 'none' })}.${payload}.${signature}`;
    case 'own-key': return sign(read(header), payload);
    case 'own-jwk': return sign({ ...read(header), jwk: own.publicKey.export({ format: 'jwk' }) }, payload);
    case 'jku': return sign({ ...read(header), jku: `${url}/jwks` }, payload);
    case 'tampered': return `${header}.${b64({ ...read(payload), scope: 'audit.admin' })}.${signature}`;
    case 'der': {
      const signed = `${header}.${payload}`;
      return `${signed}.${b64(crypto.sign('sha256', Buffer.from(signed), own.privateKey))}`;
    }
    case 'zeros': return `${header}.${payload}.${b64(Buffer.alloc(64))}`;
    case 'no-signature': return `${header}.${payload}.`;
    default: throw new Error(`no such forgery: ${kind}`);
  }
}

const server = http.createServer((request, response) => {
  const at = new URL(request.url, url);
  const answer = (text) => response.end(text);
  if (at.pathname === '/test/rotate') { provider = makeProvider(); return answer('rotated'); }
  if (at.pathname === '/test/clock') { clockOffsetMs = Number(at.searchParams.get('s')) * 1000; return answer('set'); }
  if (at.pathname === '/test/forge') return answer(forge(at.searchParams.get('kind'), at.searchParams.get('token')));
  return provider(request, response);
});
server.listen(0, '127.0.0.1', () => {
  url = `http://127.0.0.1:${server.address().port}`;
  provider = makeProvider();
  console.log(JSON.stringify({ url }));
});
// Ends with whoever started it.
process.stdin.on('end', () => process.exit(0)).resume();
