import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  alertRecord,
  certificateMessage,
  certificateRequest,
  changeCipherSpec,
  handshakeRecord,
  serverHello,
  serverHelloDone,
} from '../../../test/support/tls-flight.ts';
import { readCertificateDemand, readClearChain } from './read-certificate-request.ts';

const leaf = Buffer.from('leaf');
const issuer = Buffer.from('issuer');
const certificate = certificateMessage(leaf, issuer);
const demandOf = (...records: Buffer[]): string => readCertificateDemand(Buffer.concat(records), null, '');

test('readCertificateDemand() finds CertificateRequest, in one record or in several', () => {
  assert.equal(demandOf(handshakeRecord(serverHello, certificate, certificateRequest, serverHelloDone)), 'requested');
  const flight = Buffer.concat([serverHello, certificate, certificateRequest]);
  for (let at = 1; at < flight.length; at++) {
    assert.equal(demandOf(handshakeRecord(flight.subarray(0, at)), handshakeRecord(flight.subarray(at))), 'requested', `cut at ${at}`);
  }
});

test('readCertificateDemand() says none only of a server that showed its certificate', () => {
  assert.equal(demandOf(handshakeRecord(serverHello, certificate, serverHelloDone)), 'none');
  assert.equal(demandOf(handshakeRecord(serverHello)), 'unknown');
  assert.equal(demandOf(alertRecord), 'unknown');
  assert.equal(demandOf(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n')), 'unknown');
  assert.equal(demandOf(), 'unknown');
});

test('readCertificateDemand() reads no encrypted message of TLS 1.2', () => {
  const shown = handshakeRecord(serverHello, certificate, serverHelloDone);
  assert.equal(demandOf(shown, changeCipherSpec, handshakeRecord(certificateRequest)), 'none');
});

test('readClearChain() gives the certificates as they came', () => {
  const chain = readClearChain(handshakeRecord(serverHello, certificate, certificateRequest));
  assert.deepEqual(chain, [leaf, issuer]);
  assert.deepEqual(readClearChain(Buffer.concat([changeCipherSpec, handshakeRecord(certificate)])), []);
});

test('both read any octets without an error', () => {
  const whole = Buffer.concat([handshakeRecord(serverHello, certificate, certificateRequest), alertRecord]);
  for (let at = 0; at < whole.length; at++) {
    const cut = whole.subarray(0, at);
    const changed = Buffer.from(whole);
    changed[at]! ^= 0xff;
    for (const octets of [cut, changed]) {
      readCertificateDemand(octets, null, '');
      readCertificateDemand(octets, Buffer.alloc(32), 'TLS_AES_128_GCM_SHA256');
      readClearChain(octets);
    }
  }
});
