// Uploads files with tus-js-client and prints one JSON object: where each went, and how.
//
//     node upload.mjs '{"endpoint": ..., "files": [...], "options": {...}, "storage": ..., "leaveAt": ..., "terminate": ...}'
//
// `options` are tus-js-client's own. With `storage`, a file that remembers uploads, an earlier upload of a file is gone
// on with. `leaveAt`: leave without a word once so many bytes are sent. `terminate`: delete it again at that point.

import { createReadStream, statSync } from 'node:fs'
import { basename } from 'node:path'
import { FileUrlStorage, Upload } from 'tus-js-client'

const given = JSON.parse(process.argv[2])

function upload(path) {
  return new Promise((resolve, reject) => {
    const result = { file: path, retries: 0, resumed: false }
    const task = new Upload(createReadStream(path), {
      endpoint: given.endpoint,
      uploadSize: statSync(path).size,
      metadata: { filename: basename(path), filetype: 'video/x-matroska' },
      retryDelays: Array(30).fill(20),
      fingerprint: async () => `retint-${path}`,
      ...(given.storage ? { urlStorage: new FileUrlStorage(given.storage) } : {}),
      ...given.options,
      onShouldRetry: (error) => {
        result.retries += 1
        const status = error.originalResponse?.getStatus() ?? 0
        return status < 400 || status === 409 || status === 423 || status >= 500
      },
      onProgress: (sent) => {
        if (given.leaveAt && sent >= given.leaveAt) process.exit(0)
        if (given.terminate && sent >= given.terminate) {
          task.abort(true).then(() => resolve({ ...result, url: task.url, terminated: true }), reject)
        }
      },
      onError: reject,
      onSuccess: () => resolve({ ...result, url: task.url }),
    })
    const begin = async () => {
      const earlier = given.storage ? await task.findPreviousUploads() : []
      if (earlier.length > 0) {
        result.resumed = true
        task.resumeFromPreviousUpload(earlier[0])
      }
      task.start()
    }
    begin().catch(reject)
  })
}

console.log(JSON.stringify(await Promise.all(given.files.map(upload))))
