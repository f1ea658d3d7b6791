import assert from 'node:assert/strict';
import { test } from 'node:test';
import { appendLeaf, emptyFrontier, rootOf } from './frontier.ts';
import { type Hash, hashLeaf } from './hash.ts';
import { verifyConsistency, verifyInclusion } from './proof.ts';
import { noteVerifier, openNote, parseVerifier } from './signed-note.ts';

/** The eight leaves that the implementations of RFC 6962 are tested with, and the root of the tree after each. */
const leaves = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const roots = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];
const octets = (hex: string): Hash => Buffer.from(hex, 'hex');

test('the tree has the published root after each leaf', () => {
  let frontier = emptyFrontier;
  for (const [at, leaf] of leaves.entries()) {
    frontier = appendLeaf(frontier, hashLeaf(octets(leaf)));
    assert.equal(Buffer.from(rootOf(frontier)).toString('hex'), roots[at]);
  }
});

test('the published proofs verify, and not for another leaf or size', () => {
  const path = [
    '96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7',
    '5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e',
    '6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4',
  ].map(octets);
  assert.ok(verifyInclusion(path, hashLeaf(octets(leaves[0]!)), 0, 8, octets(roots[7]!)));
  assert.ok(!verifyInclusion(path, hashLeaf(octets(leaves[1]!)), 0, 8, octets(roots[7]!)));
  assert.ok(!verifyInclusion(path, hashLeaf(octets(leaves[0]!)), 1, 8, octets(roots[7]!)));
  assert.ok(!verifyInclusion(path, hashLeaf(octets(leaves[0]!)), 0, 7, octets(roots[6]!)));

  const head = (size: number) => ({ size, root: octets(roots[size - 1]!) });
  assert.ok(verifyConsistency(path, head(1), head(8)));
  assert.ok(!verifyConsistency(path.toReversed(), head(1), head(8)));
  assert.ok(!verifyConsistency(path, head(2), head(8)));
  assert.ok(!verifyConsistency(path, head(1), head(7)));
});

/** The example in the documentation of golang.org/x/mod/sumdb/note, whose format C2SP signed-note is. */
const verifierText = 'PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW';
const text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const note = `${text}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n`;

test('a note signed by another implementation opens', () => {
  assert.equal(openNote(note, parseVerifier(verifierText)), text);
  const stranger = `— Stranger ${Buffer.alloc(68, 7).toString('base64')}\n`;
  assert.equal(openNote(note + stranger, parseVerifier(verifierText)), text);
});

test('a note changed in its text, name, key id or signature does not open', () => {
  const verifier = parseVerifier(verifierText);
  const changed = [
    note.replace('cryptography', 'Cryptography'),
    note.replace('PeterNeumann', 'PeterNeuman'),
    note.replace(' x08go/', ' x08hp/'),
    note.replace('nAM=', 'nAI='),
    note.replace('\n\n', '\n'),
    `\n${note}`,
    note.replace('—', '-'),
    note.replace('— PeterNeumann ', '— PeterNeumann  '),
    `${note}\n`,
    note + note,
    note.slice(0, note.indexOf('—')),
    note.replaceAll('\n', '\r\n'),
  ];
  for (const one of changed) assert.throws(() => openNote(one, verifier), { code: 'log-invalid' }, one);
  assert.throws(() => openNote(note, noteVerifier('Else', verifier.publicKey)), { code: 'log-invalid' });
});
