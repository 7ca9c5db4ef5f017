package main

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
)

// The numbers of a stream-optimized VMDK, after VMware's Virtual Disk Format 5.0.
const (
	sector        = 512
	grainSectors  = grainSize / sector
	tableEntries  = 512
	tableSectors  = tableEntries * 4 / sector
	overhead      = grainSectors // header and description, padded to a grain
	atEnd         = ^uint64(0)
	markTable     = 1
	markDirectory = 2
	markFooter    = 3
)

// vmdkHeader is the header of a sparse extent, byte for byte.
type vmdkHeader struct {
	Magic            [4]byte
	Version, Flags   uint32
	Capacity, Grain  uint64
	Description      uint64
	DescriptionSize  uint64
	EntriesPerTable  uint32
	RedundantTables  uint64
	Directory        uint64
	Overhead         uint64
	UncleanShutdown  uint8
	Newlines         [4]byte
	CompressionKind  uint16
	PaddingToASector [433]byte
}

// vmdkStream writes a disk as vSphere does: from front to end, with the tables
// and the directory behind the grains they are about.
type vmdkStream struct {
	out       io.Writer
	at        uint64 // in sectors
	packed    bytes.Buffer
	fast      *zlib.Writer
	stored    *zlib.Writer
	table     [tableEntries]uint32
	directory []uint32
}

func (d *disk) stream(out io.Writer) error {
	s := &vmdkStream{out: out}
	s.fast, _ = zlib.NewWriterLevel(nil, zlib.BestSpeed)
	s.stored, _ = zlib.NewWriterLevel(nil, zlib.NoCompression)
	header := vmdkHeader{
		Magic: [4]byte{'K', 'D', 'M', 'V'}, Version: 3, Flags: 1 | 1<<16 | 1<<17,
		Capacity: uint64(d.Bytes) / sector, Grain: grainSectors, Description: 1, DescriptionSize: 20,
		EntriesPerTable: tableEntries, Directory: atEnd, Overhead: overhead,
		Newlines: [4]byte{'\n', ' ', '\r', '\n'}, CompressionKind: 1,
	}
	front := bytes.NewBuffer(nil)
	_ = binary.Write(front, binary.LittleEndian, header)
	fmt.Fprintf(front, "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"streamOptimized\"\n\n"+
		"# Extent description\nRDONLY %d SPARSE \"disk.vmdk\"\n\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\n"+
		"ddb.geometry.cylinders = \"%d\"\nddb.geometry.heads = \"255\"\nddb.geometry.sectors = \"63\"\nddb.virtualHWVersion = \"19\"\n",
		header.Capacity, header.Capacity/(255*63)+1)
	front.Write(make([]byte, overhead*sector-front.Len()))
	if err := s.write(front.Bytes()); err != nil {
		return err
	}
	grains := int64(0)
	err := d.each(func(grain int64, content []byte, what filling) error {
		grains++
		if what != nothing {
			if err := s.grain(grain, content, what); err != nil {
				return err
			}
		}
		if grains%tableEntries == 0 {
			return s.endTable()
		}
		return nil
	})
	if err == nil && grains%tableEntries != 0 {
		err = s.endTable()
	}
	if err != nil {
		return err
	}
	return s.end(header)
}

func (s *vmdkStream) write(b []byte) error {
	s.at += uint64(len(b) / sector)
	_, err := s.out.Write(b)
	return err
}

// marker announces sectors of something that is no grain.
func (s *vmdkStream) marker(kind uint32, sectors int) error {
	b := make([]byte, sector)
	binary.LittleEndian.PutUint64(b, uint64(sectors))
	binary.LittleEndian.PutUint32(b[12:], kind)
	return s.write(b)
}

// grain writes a whole grain, also for the end of a disk that has less.
func (s *vmdkStream) grain(grain int64, content []byte, what filling) error {
	s.packed.Reset()
	s.packed.Write(make([]byte, 12))
	w := s.fast
	if what == noise { // It would only cost time.
		w = s.stored
	}
	w.Reset(&s.packed)
	_, _ = w.Write(content)
	_, _ = w.Write(zeros[len(content):])
	_ = w.Close()
	size := s.packed.Len() - 12
	if rest := s.packed.Len() % sector; rest != 0 {
		s.packed.Write(zeros[:sector-rest])
	}
	b := s.packed.Bytes()
	binary.LittleEndian.PutUint64(b, uint64(grain*grainSectors))
	binary.LittleEndian.PutUint32(b[8:], uint32(size))
	s.table[grain%tableEntries] = uint32(s.at)
	return s.write(b)
}

// endTable writes the table of the last grains, unless all of them are zeros.
func (s *vmdkStream) endTable() error {
	if s.table == [tableEntries]uint32{} {
		s.directory = append(s.directory, 0)
		return nil
	}
	if err := s.marker(markTable, tableSectors); err != nil {
		return err
	}
	s.directory = append(s.directory, uint32(s.at))
	b, _ := binary.Append(nil, binary.LittleEndian, s.table[:])
	s.table = [tableEntries]uint32{}
	return s.write(b)
}

func (s *vmdkStream) end(header vmdkHeader) error {
	b, _ := binary.Append(nil, binary.LittleEndian, s.directory)
	if rest := len(b) % sector; rest != 0 {
		b = append(b, zeros[:sector-rest]...)
	}
	if err := s.marker(markDirectory, len(b)/sector); err != nil {
		return err
	}
	header.Directory = s.at
	if err := s.write(b); err != nil {
		return err
	}
	if err := s.marker(markFooter, 1); err != nil {
		return err
	}
	footer, _ := binary.Append(nil, binary.LittleEndian, header)
	if err := s.write(footer); err != nil {
		return err
	}
	return s.write(zeros[:sector]) // the marker of the end
}
