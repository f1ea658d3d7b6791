import { createServer } from 'node:https';
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose';
import { encodePem } from '../../src/core/x509/pem.ts';
import { makeTestAuthority } from './test-authority.ts';

/** An issuer of OIDC tokens over HTTPS: discovery, published keys that rotate, and an off switch. */
export async function startTokenIssuer() {
  const authority = makeTestAuthority(Date.now());
  const credential = authority.issue({ ips: ['127.0.0.1'], usages: ['server'] });
  const state = { keys: [] as JWK[], isDown: false, asked: 0, discovered: null as object | null };
  let signing: { readonly kid: string; readonly privateKey: CryptoKey };
  const rotate = async (kid: string): Promise<void> => {
    const { privateKey, publicKey } = await generateKeyPair('ES256');
    state.keys = [{ ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' }];
    signing = { kid, privateKey };
  };
  await rotate('first');
  const cert = credential.chain.map((der) => encodePem('CERTIFICATE', der)).join('');
  const key = credential.key.export({ type: 'pkcs8', format: 'pem' });
  const server = createServer({ cert, key }, (request, response) => {
    state.asked += 1;
    if (state.isDown) {
      response.writeHead(503).end();
      return;
    }
    const isDiscovery = request.url === '/.well-known/openid-configuration';
    const document = isDiscovery ? (state.discovered ?? { issuer, jwks_uri: `${issuer}/keys` }) : { keys: state.keys };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(document));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const issuer = `https://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  return {
    issuer,
    state,
    rotate,
    anchorsPem: encodePem('CERTIFICATE', authority.root.der),
    sign: (claims: JWTPayload, header: { readonly kid?: string } = {}) =>
      new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: signing.kid, ...header }).sign(signing.privateKey),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
