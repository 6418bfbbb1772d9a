# boot=provium: the root file system is an archive in the initramfs and lives in memory.
mountroot()
{
	mount -t tmpfs -o mode=755 root "$rootmnt"
	tar -xzf /root.tar.gz -C "$rootmnt"
	rm /root.tar.gz
}
