import { startServer } from '@cachekit/testing'

const s = await startServer('firestore')
console.log(s.url)
process.on('SIGTERM', async () => {
  await s.close()
  process.exit()
})
setInterval(() => {}, 1000)
