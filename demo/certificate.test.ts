import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { parseCertificateRequest } from '../src/core/x509/certificate-request.ts';
import { makeCredential, makeSigningRequest } from './certificate.ts';

const authority = makeCredential({ commonName: 'Processor CA', isAuthority: true });

test('makeCredential() makes an authority that Node takes for one', () => {
  const certificate = new X509Certificate(authority.certificate);
  assert.equal(certificate.ca, true);
  assert.ok(certificate.checkIssued(certificate));
  assert.ok(certificate.verify(certificate.publicKey));
});

test('makeCredential() signs a leaf with its issuer and puts the names in', () => {
  const leaf = makeCredential(
    { commonName: 'leaf', isAuthority: false, dnsNames: ['api.example'], uris: ['spiffe://acme.example/demo/orders'] },
    { commonName: 'Processor CA', key: authority.key },
  );
  const certificate = new X509Certificate(leaf.certificate);
  assert.ok(certificate.verify(new X509Certificate(authority.certificate).publicKey));
  assert.ok(certificate.checkPrivateKey(createPrivateKey(leaf.key)));
  assert.equal(certificate.subjectAltName, 'URI:spiffe://acme.example/demo/orders, DNS:api.example');
  assert.equal(certificate.checkHost('api.example'), 'api.example');
  assert.equal(certificate.ca, false);
});

test('makeCredential() without an issuer makes what nobody should trust', () => {
  const forged = new X509Certificate(makeCredential({ commonName: 'forged', isAuthority: false }).certificate);
  assert.equal(forged.verify(new X509Certificate(authority.certificate).publicKey), false);
});

test('makeSigningRequest() makes what the product takes for a signing request', () => {
  const request = parseCertificateRequest(makeSigningRequest(['spiffe://acme.example/demo/batch']).der);
  assert.equal(request.publicKey.asymmetricKeyType, 'ec');
});
